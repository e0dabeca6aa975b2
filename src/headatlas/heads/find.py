"""Find every addressable attention layer of a vision-language model by its structure.

An attention layer is a module that has input projections (a separate q, or a fused qkv) and an output projection whose input
is `n_heads * d_head` wide. Children are recognised by their *role names* (`OUTPUT_ROLES`, `QUERY_ROLES`), never by paths or
model types. The head count comes from the module or its config, d_head from the module, and both must agree with the width of
the projection. Layers for which they do not agree are left out, with the reason.

The language model is the smallest module around the input embeddings that contains attention, or the decoder of an
encoder-decoder, whose text encoder is a tower of its own. The vision tower is every other sub-model around a patch embedding.
What lies between the two under a connector's name is the connector, also where it is registered inside the language model.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import TOWERS, Tower
from headatlas.heads.grid import HeadGrid, Site

# A new family usually needs one more word in one of these lists. Dots reach into children (BERT-like blocks).
OUTPUT_ROLES = (
    *("o_proj", "out_proj", "wo", "c_proj", "proj", "dense", "projection", "projection_layer", "output_proj"),
    *("output.dense", "output", "o"),
)
QUERY_ROLES = (
    *("q_proj", "wq", "query", "q", "q_b_proj"),
    *("qkv", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "in_proj"),
    *("self.query", "attention.query"),
)
# Further names of query and key projections: a module with both and no known output projection is listed as not addressed.
ASKING = (*QUERY_ROLES, "to_q")
ASKED = ("k_proj", "wk", "key", "k", "to_k", "to_kv", "kv_proj")
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "attention_heads", "num_query_heads")
HEAD_DIMS = ("v_head_dim", "head_dim", "attention_head_size", "d_head", "head_size")
# Names of arguments and modules that only cross-attention has (`key_value_states` is also in many self-attentions).
CROSS_INPUTS = ("cross_attention_states", "query_states", "protein_kv_states")
CONNECTOR_WORDS = ("qformer", "resampler", "perceiver", "connector", "projector", "projection", "pooling", "abstractor")
CROSS_ROLES = (
    "cross_attn",
    "encoder_attn",
    "crossattention",
    "cross_attention",
    "EncDecAttention",
    "encoder_decoder_attention",
)


def find_heads(model: nn.Module) -> HeadGrid:
    """Every attention layer of a model whose heads can be addressed.

    Layers are numbered within each tower (`L` language model, `V` vision tower, `X` cross-attention in the language model, `E`
    text encoder, `C` connector) in forward order: by the modules' own `layer_idx` where they have one, else in the order of
    registration. That is not the forward order where a tower has two encoders, or a merger between its layers; see
    `Site.name`. `grid.skipped` lists what was left out, with reasons.

    Args:
        model: what `AutoModelForImageTextToText` loads.

    Raises:
        HeadAtlasError: the language model has no addressable attention; the message gives the reasons.
    """
    found: list[_Attention] = []
    refused: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for name, module in model.named_modules():
        result = _as_attention(name, module)
        if isinstance(result, str):
            refused[name] = f"{name} ({type(module).__name__}): {result}"
        elif result is not None:
            found.append(result)
        elif _first_child(module, ASKING) and _first_child(module, ASKED):
            unknown[name] = (
                f"{name} ({type(module).__name__}): queries and keys, but no output projection by a known name"
            )
    names = [a.name for a in found] + list(refused)
    encoder, language = _encoder_and_decoder(model) or ("", _language_root(model, names))
    towers: dict[Tower, list[_Attention]] = {tower: [] for tower in TOWERS}
    for attention in found:
        tower = _tower(model, language, encoder, attention)
        if tower is None:
            refused[attention.name] = f"{attention.name}: in neither the language model, a vision tower nor a connector"
        else:
            towers[tower].append(attention)
    if not towers["L"]:
        inside = [reason for name, reason in refused.items() if _within(name, language)]
        raise HeadAtlasError(
            f"the language model of {type(model).__name__} has no addressable attention: "
            + ("; ".join(inside[:3]) or f"no module with one of the query projections {QUERY_ROLES} in it")
        )
    sites = [
        Site(tower, layer, f"{a.name}.{a.role}", a.projection, a.n_heads, a.d_head, a.name, a.module)
        for tower, members in towers.items()
        for layer, a in enumerate(_forward_order(members))
    ]
    # A module inside or around an attention module is not counted again (BERT-like blocks, indexers, wrappers).
    others = (
        reason
        for name, reason in unknown.items()
        if not any(_within(name, known) or _within(known, name) for known in names)
    )
    return HeadGrid(tuple(sites), model.get_submodule(language), (*refused.values(), *others), model)


@dataclass(frozen=True, eq=False)
class _Attention:
    name: str
    module: nn.Module
    role: str
    projection: nn.Module
    n_heads: int
    d_head: int


def _as_attention(name: str, module: nn.Module) -> _Attention | str | None:
    """`module` as an attention layer; a text with the reason if it is one that cannot be addressed; None if it is none."""
    if isinstance(module, nn.MultiheadAttention):
        return "torch's MultiheadAttention never calls its output projection as a module, so its z cannot be reached"
    output = _first_child(module, OUTPUT_ROLES)
    if output is None:
        return None
    if hasattr(module, "A_log") or any(isinstance(child, nn.Conv1d) for child in module.children()):
        return "linear attention or a convolution, which has no softmax heads"
    if _first_child(module, QUERY_ROLES) is None:
        return None
    role, projection = _multiplier(*output)
    width = _in_features(projection)
    if width is None:
        return f"its output projection {role} is a {type(projection).__name__}, whose input width is unknown"
    sizes = _head_sizes(module, width)
    if isinstance(sizes, str):
        return f"output projection {role} takes {width} features, but {sizes}"
    return _Attention(name, module, role, projection, *sizes)


def _head_sizes(module: nn.Module, width: int) -> tuple[int, int] | str:
    """`(n_heads, d_head)` with product `width`; a text that says what does not agree if there are no such numbers."""
    inner = [module, *(child for child in (getattr(module, "self", None), getattr(module, "attention", None)) if child)]
    own_dim = _first_int(inner, HEAD_DIMS)
    # The forward uses the module's own count; the config is used only if the module has none.
    count = _first_int(inner, HEAD_COUNTS) or _first_int([getattr(m, "config", None) for m in inner], HEAD_COUNTS)
    if count is None and own_dim is None:
        return "neither the module nor its config tells the number of heads or their size"
    if own_dim is None or count is None:
        known = count if own_dim is None else own_dim
        assert known is not None
        if width % known:
            return f"that is no multiple of {known}"
        return (known, width // known) if own_dim is None else (width // known, known)
    if count * own_dim != width:
        return f"{count} heads x {own_dim} make {count * own_dim}"
    return count, own_dim


def _encoder_and_decoder(model: nn.Module) -> tuple[str, str] | None:
    """Paths of the two stacks of an encoder-decoder; None for any other model."""
    config = getattr(model, "config", None)
    text = config.get_text_config(decoder=True) if config is not None and hasattr(config, "get_text_config") else None
    if not (getattr(config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False)):
        return None
    paths = {id(module): name for name, module in model.named_modules()}
    stacks = []
    for role in ("encoder", "decoder"):
        stack = getattr(model, f"get_{role}")()
        while isinstance(inner := getattr(stack, role, None), PreTrainedModel):  # a wrapper around both stacks
            stack = inner
        stacks.append(paths.get(id(stack), ""))
    encoder, decoder = stacks
    if not encoder or not decoder or _within(encoder, decoder):
        raise HeadAtlasError(
            f"{type(model).__name__} is an encoder-decoder whose two stacks cannot be distinguished "
            f"(encoder {encoder!r}, decoder {decoder!r}), so L0.H0 would name no single head"
        )
    return encoder, decoder


def _language_root(model: nn.Module, attentions: list[str]) -> str:
    """Path of the smallest module that holds the input embeddings and some attention."""
    try:
        embeddings = model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
    except (AttributeError, NotImplementedError):
        embeddings = None
    path = next((name for name, module in model.named_modules() if module is embeddings), None)
    if path is None:
        raise HeadAtlasError(f"{type(model).__name__} has no input embeddings, so no language model can be found in it")
    while path and not any(_within(name, path) for name in attentions):
        path = path.rpartition(".")[0]
    return path


def _tower(model: nn.Module, language: str, encoder: str, attention: _Attention) -> Tower | None:
    around = list(_around(model, attention.name))
    modalities = next((m.input_modalities for _, m in around if isinstance(m, PreTrainedModel)), "")
    parts = attention.name.lower().split(".")
    if ("audio" in modalities and "image" not in modalities) or any("audio" in part for part in parts):
        return None
    if encoder and _within(attention.name, encoder):
        return "E" if "text" in modalities else "V"
    # A module that contains the language model is the whole model; a vision tower is a smaller one around patch embeddings,
    # beside the language model or (where the text embeddings sit at the top) inside it.
    if any(_has_patches(module) for name, module in around if not _within(language, name)):
        return "V"
    if _within(attention.name, language):
        nearest = next((name for name, m in around if isinstance(m, PreTrainedModel)), language)
        if not encoder and nearest != language and _within(nearest, language):
            return None  # a model of its own inside the language model, such as an encoder of proteins
        if _names_connector(attention.name[len(language) :].lower().split(".")):
            return "C"  # where the text embeddings sit at the top, the connector is inside too
        return "X" if _is_cross(attention) else "L"
    return "C" if _names_connector(parts) else None


def _names_connector(parts: list[str]) -> bool:
    return any(word in part for part in parts for word in CONNECTOR_WORDS)


def _around(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Every module around `path` with its own path, the nearest first."""
    while path:
        path = path.rpartition(".")[0]
        yield path, model.get_submodule(path)


def _has_patches(module: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d | nn.Conv3d) or "patch" in name for name, m in module.named_modules())


def _is_cross(attention: _Attention) -> bool:
    declared = getattr(attention.module, "is_cross_attention", None)
    if declared is not None:
        return bool(declared)
    inputs = inspect.signature(attention.module.forward).parameters
    own = attention.name.split(".")[-2:]  # the module itself, or the layer that wraps it
    return any(name in CROSS_ROLES for name in own) or any(name in inputs for name in CROSS_INPUTS)


def _forward_order(members: list[_Attention]) -> list[_Attention]:
    indices = [getattr(a.module, "layer_idx", None) for a in members]
    numbers = [n for n in indices if isinstance(n, int)]
    if len(set(numbers)) != len(members):
        return members
    return [members[i] for i in sorted(range(len(members)), key=lambda i: numbers[i])]


def _within(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(path + ".")


def _first_child(module: nn.Module, roles: tuple[str, ...]) -> tuple[str, nn.Module] | None:
    for role in roles:
        child: Any = module
        for part in role.split("."):
            child = child._modules.get(part) if isinstance(child, nn.Module) else None
        if isinstance(child, nn.Module):
            return role, child
    return None


def _first_int(sources: list[Any], names: tuple[str, ...]) -> int | None:
    values = (getattr(source, name, None) for source in sources for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _multiplier(role: str, projection: nn.Module) -> tuple[str, nn.Module]:
    """The part of an output projection that multiplies. A projection that takes more than z gates z first; its z is gated."""
    parameters = inspect.signature(projection.forward).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    inner = projection._modules.get("linear")
    return (role, projection) if inner is None or len(required) < 2 else (f"{role}.linear", inner)


def _in_features(projection: nn.Module) -> int | None:
    """Input width of a Linear or of what is shaped like one (quantized layers, transformers' Conv1D, LoRA wrappers)."""
    for part in (projection, getattr(projection, "linear", None), getattr(projection, "base_layer", None)):
        width = _first_int([part], ("in_features", "nx"))
        if width is not None:
            return width
    return None
