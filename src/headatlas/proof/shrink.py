"""Make a family's default configuration small.

Widths, head counts, vocabularies and expert counts become small, but every *kind* of layer stays: if per-layer lists (layer
types, dense or sparse, rotary or not) and layer indices (cross attention, full attention, deepstack) distinguish N kinds, the
first layer of each kind is kept. Grouped-query ratios, a head size other than hidden / heads, and the proportions of latent
attention are kept. What no rule can know is in the family's entry (`TinyModel.config`).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

VOCAB = 128
"""Tokens 20..99 are plain words; special tokens with larger ids get new ids from 100 on."""
FIRST_SPECIAL = 100
PLAIN = (20, 100)
HIDDEN, HEADS, INNER = 64, 4, 96
SAME, OTHER = 16, 24
"""Head sizes of the small model: where the default is hidden / heads, and where it is not."""

LAYERS = (
    *("num_hidden_layers", "depth", "num_layers", "encoder_layers", "decoder_layers", "layers", "n_layers"),
    *("num_decoder_layers", "num_encoder_layers", "resampler_depth", "aligner_num_add_layers"),
)
COUNTS = (
    *("num_attention_heads", "num_heads", "attention_heads", "encoder_attention_heads", "decoder_attention_heads"),
    *(
        "resampler_n_heads",
        "swa_num_attention_heads",
        "num_sliding_attention_heads",
        "index_n_heads",
        "resampler_heads",
    ),
)
SIZES: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model", "embed_dim", "text_hidden_size", "word_embed_proj_dim"), HIDDEN),
    **dict.fromkeys(("out_hidden_size", "output_dim", "projector_output_dim", "encoder_hidden_size"), HIDDEN),
    **dict.fromkeys(("vision_hidden_size", "decoder_hidden_size", "moe_hidden_size"), HIDDEN),
    **dict.fromkeys(
        ("projection_hidden_size", "projection_dim", "image_text_hidden_size", "pooler_output_size"), HIDDEN
    ),
    **dict.fromkeys(("vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input"), VOCAB),
    **dict.fromkeys(("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(("n_shared_experts", "moe_num_shared_experts", "n_group", "topk_group"), 1),
    **dict.fromkeys(("kv_lora_rank", "index_head_dim", "qk_nope_head_dim", "v_head_dim", "ssm_state_size"), 16),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim", "d_rel"), 8),
    **{"q_lora_rank": 24, "qk_rope_head_dim": 8, "rotary_dim": 8, "latent_channels": 8, "base_channels": 32},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_num_heads": 4, "hidden_size_per_layer_input": 8},
    **{"mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 2, "chunk_size": 16, "num_query_tokens": 4},
    **{
        "resampler_head_dim": 16,
        "resampler_n_latents": 4,
        "mm_tokens_per_image": 4,
        "mm_embed_dim": 64,
        "d_kv": 16,
        "latent_query_num": 4,
        "num_global_layers": 2,
        "laurel_rank": 8,
    },
}
"""Sizes of the small model by name; defaults that are smaller stay."""
INNER_SIZES = re.compile(r"(^|_)(intermediate_size|ffn_dim|d_ff|mlp_dim|expert_dim)|intermediate_size(_mlp)?$")
INDEX_LISTS = re.compile(r"(_indexes|_indices|_idxs|^cross_attention_layers|^moe_layers|^rope_scaling_layers)$")
TOKENS = re.compile(r"(token_ids?|token_index|_start_id|_end_id|_newline_id|image_patch_id)$")


def shrink(default: dict[str, Any], changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`default.to_dict()` of a family's configuration made small, as a dictionary for the same class.

    `changes` are merged in last, key by key. `default` itself is not changed.
    """
    tiny = _shrink(default)
    _renumber_tokens(tiny)
    _merge(tiny, changes or {})
    return tiny


def _shrink(config: dict[str, Any]) -> dict[str, Any]:
    tiny = {key: _shrink(value) if _is_config(value) else value for key, value in config.items()}
    _fewer_layers(tiny)
    _smaller_heads(tiny)
    for key, value in config.items():
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if key in SIZES:
            tiny[key] = min(value, SIZES[key])
        elif INNER_SIZES.search(key):
            tiny[key] = min(value, INNER)
        elif key == "max_position_embeddings":
            tiny[key] = min(value, 512)
        elif key in ("sliding_window", "sliding_window_size", "attention_chunk_size"):
            tiny[key] = min(value, 8)
        elif key == "first_k_dense_replace":
            tiny[key] = min(value, 1)
        elif key == "image_size" and isinstance(config.get("patch_size"), int):
            tiny[key] = 4 * config["patch_size"]
    return tiny


def _is_config(value: Any) -> bool:
    return isinstance(value, dict) and "model_type" in value


def _fewer_layers(tiny: dict[str, Any]) -> None:
    """Keep the first layer of each kind and at least two."""
    for key in LAYERS:
        n = tiny.get(key)
        if not isinstance(n, int) or n < 2:
            continue
        indices = {k: v for k, v in tiny.items() if _is_index_list(k, v, n)}
        apart = {int(layer): values for layer, values in (tiny.get("per_layer_config") or {}).items()}
        per_layer = {k: v for k, v in tiny.items() if isinstance(v, list | tuple) and len(v) == n and k not in indices}
        kinds = [
            (
                *(repr(v[i]) for v in per_layer.values()),
                *(i in [j % n for j in v] for v in indices.values()),
                repr(apart.get(i)),
            )
            for i in range(n)
        ]
        layers = sorted({kinds.index(kind) for kind in kinds})[:6]
        # A single kind is kept twice. The last layer of several kinds stays the last: in some families it is a special one.
        layers = layers if len(layers) > 1 else [layers[0], layers[0] + 1]
        for name, values in per_layer.items():
            tiny[name] = [values[i] for i in layers]
        for name, values in indices.items():
            tiny[name] = [new for new, old in enumerate(layers) if old in [j % n for j in values]]
        if apart:
            tiny["per_layer_config"] = {new: _apart(apart[old], tiny) for new, old in enumerate(layers) if old in apart}
        tiny[key] = len(layers)


def _apart(layer: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """One layer's own values, made small; where they differ from those of the stack, they still differ."""
    tiny = _shrink(layer)
    for key in (*COUNTS, "num_key_value_heads"):
        if key in layer and layer[key] != whole.get(key):
            tiny[key] = HEADS // 2
    if "head_dim" in layer and "kv_lora_rank" not in layer:
        tiny["head_dim"] = 2 * SAME
    return tiny


def _is_index_list(key: str, value: Any, n: int) -> bool:
    return (
        bool(INDEX_LISTS.search(key))
        and isinstance(value, list | tuple)
        and all(isinstance(v, int) and v <= n for v in value)
    )


def _smaller_heads(tiny: dict[str, Any]) -> None:
    heads = next((tiny[k] for k in COUNTS if isinstance(tiny.get(k), int)), None)
    hidden = next((tiny[k] for k in ("hidden_size", "d_model", "embed_dim") if isinstance(tiny.get(k), int)), None)
    groups = [(k, v) for k, v in tiny.items() if k.endswith(("key_value_heads", "kv_heads")) and isinstance(v, int)]
    for key in COUNTS:
        if isinstance(tiny.get(key), int):
            tiny[key] = HEADS
    for key, value in groups:
        # Grouped queries wherever the family supports them, even if its default has none. Latent attention has none.
        tiny[key] = 1 if value == 1 else HEADS if "kv_lora_rank" in tiny else 2
    old = tiny.get("head_dim")
    if isinstance(old, int) and heads and hidden and "kv_lora_rank" not in tiny:
        tiny["head_dim"] = SAME if old * heads == hidden else OTHER
    if isinstance(tiny.get("swa_head_dim"), int):
        tiny["swa_head_dim"] = tiny.get("head_dim", SAME)
    if isinstance(tiny.get("kv_lora_rank"), int):
        _latent_heads(tiny)
    for rope in _ropes(tiny):
        section = rope.get("mrope_section")
        if section and isinstance(old, int):
            rope["mrope_section"] = _sections(section, sum(section) * tiny["head_dim"] // old)


def _latent_heads(tiny: dict[str, Any]) -> None:
    """Latent attention (MLA): head sizes that are sums or copies of others remain so."""
    rope, nope = tiny.get("qk_rope_head_dim", 0), tiny.get("qk_nope_head_dim", 0)
    new_rope, new_nope = min(rope, SIZES["qk_rope_head_dim"]), min(nope, SIZES["qk_nope_head_dim"])
    for part in _ropes(tiny):
        if rope and part.get("partial_rotary_factor") == rope / (rope + nope):
            part["partial_rotary_factor"] = new_rope / (new_rope + new_nope)
    known = {rope: new_rope, nope: new_nope, rope + nope: new_rope + new_nope}
    for key in ("qk_head_dim", "head_dim"):
        if isinstance(tiny.get(key), int):
            tiny[key] = known.get(tiny[key], new_rope + new_nope)


def _ropes(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("rope_parameters", "rope_scaling"):
        rope = config.get(key)
        if isinstance(rope, dict):
            yield rope
            yield from (part for part in rope.values() if isinstance(part, dict))


def _sections(old: list[int], total: int) -> list[int]:
    """`old` scaled to sum to `total`, every part at least 1."""
    new = [max(1, part * total // sum(old)) for part in old]
    new[-1] += total - sum(new)
    return new


def _renumber_tokens(tiny: dict[str, Any]) -> None:
    """Give every special token an id that fits the small vocabulary; equal ids stay equal."""
    new: dict[int, int] = {}

    def fresh(token: Any) -> Any:
        if isinstance(token, list | tuple):
            return [fresh(t) for t in token]
        if not isinstance(token, int) or isinstance(token, bool) or token < PLAIN[0]:
            return token
        return new.setdefault(token, FIRST_SPECIAL + len(new))

    def walk(config: dict[str, Any]) -> None:
        for key, value in config.items():
            if _is_config(value):
                walk(value)
            elif TOKENS.search(key):
                config[key] = fresh(value)

    walk(tiny)


def _merge(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value
