"""The family smol's architecture: LLaVA with a small CLIP tower around SmolLM2, and low-rank updates of SmolLM2's linear layers.

Only the tower, the projector and the updates are trained and shipped (`write_parts`); `assembled.assemble` merges them with the
base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from headatlas.errors import HeadAtlasError

IMAGE = "<image>"
"""The token of one cell of the picture, the only one that the base's tokenizer lacks."""

RANK = 16
"""Rank of the update of every linear layer."""

SCALE = 2.0
"""Factor of every update (LoRA's alpha / rank)."""

UNUSED = range(3, 17)
"""Tokens of SmolLM2 for source code and notebooks. Their embeddings are all alike and the model never says them; the embedding
of `IMAGE` starts as their mean, so that the model does not say it either."""

LANGUAGE = "model.language_model"
TRAINED = ("model.vision_tower.", "model.multi_modal_projector.")
DOWN, UP, STEP = ".down", ".up", ".step"


class LowRankLinear(nn.Module):
    """A frozen linear layer plus a trained update of low rank (LoRA, arXiv 2106.09685): y = W x + `SCALE` * up down x.

    PEFT's layer is not used because it computes the update in float32 under autocast, which doubles the time of a step.
    """

    def __init__(self, base: nn.Linear, rank: int = RANK):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.active = True

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Return the layer's output, with the update unless `active` is False."""
        out = self.base(x)
        return out + F.linear(F.linear(x, self.down), SCALE * self.up) if self.active else out

    def merged(self) -> nn.Linear:
        """Return the plain linear layer with the update added to its weight."""
        with torch.no_grad():
            self.base.weight += SCALE * (self.up @ self.down)
        return self.base


def with_image_token(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Add `IMAGE` as a special token at the end of the vocabulary, and return the tokenizer."""
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.padding_side = "right"
    return tokenizer


def put_base(model: LlavaForConditionalGeneration, base: LlamaForCausalLM) -> None:
    """Copy the base's weights into the VLM's language model; the row of `IMAGE` becomes the mean of `UNUSED`."""
    state = base.model.state_dict()
    words = state["embed_tokens.weight"]
    table: Any = model.get_input_embeddings()
    rows = torch.empty_like(table.weight)
    with torch.no_grad():
        rows[: len(words)] = words
        rows[len(words) :] = words[list(UNUSED)].mean(0)
    model.get_submodule(LANGUAGE).load_state_dict({**state, "embed_tokens.weight": rows})
    model.tie_weights()


def add_updates(model: nn.Module, seed: int, rank: int = RANK) -> None:
    """Replace every linear layer of the language model's blocks by a `LowRankLinear`; everything else in it is frozen."""
    language = model.get_submodule(LANGUAGE)
    language.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in [module for layer in language.layers for module in layer.modules()]:  # type: ignore[union-attr]
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, LowRankLinear(child, rank))


def merge_updates(model: nn.Module) -> None:
    """Put plain linear layers with merged weights back in place of all `LowRankLinear`s."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(module, name, child.merged())


@contextmanager
def without_updates(model: nn.Module) -> Iterator[None]:
    """Within the block the language model is the base."""
    layers = [module for module in model.modules() if isinstance(module, LowRankLinear)]
    for layer in layers:
        layer.active = False
    try:
        yield
    finally:
        for layer in layers:
            layer.active = True


def update_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of all updates."""
    return [p for m in model.modules() if isinstance(m, LowRankLinear) for p in (m.down, m.up)]


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what training changes, by name: tower, projector, updates."""
    return {name: tensor for name, tensor in model.state_dict().items() if _is_trained(name)}


def load_trained(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put a `trained_state` back. Raises `HeadAtlasError` if its names or shapes are not those of the model."""
    wanted = {name: tuple(tensor.shape) for name, tensor in trained_state(model).items()}
    got = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if wanted != got:
        odd = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
        raise HeadAtlasError(
            f"the trained parts must have the model's {len(wanted)} tensors; {len(odd)} are missing or differ, such as {odd[0]!r}"
        )
    model.load_state_dict(state, strict=False)


def _is_trained(name: str) -> bool:
    return name.startswith(TRAINED) or name.endswith((DOWN, UP))


def write_parts(model: nn.Module, folder: Path, facts: dict[str, Any]) -> None:
    """Write what training changed to `parts.safetensors`, and `facts` (what it belongs to) to `parts.json`.

    Tower and projector are float16. Updates are int8, each of the rank's directions with its own step (float32, at the name plus
    `.step`): a value is its integer times the step, the largest magnitude of its direction / 127.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Tensor] = {}
    for name, tensor in trained_state(model).items():
        if not name.endswith((DOWN, UP)):
            stored[name] = tensor.to("cpu", torch.float16).contiguous()
            continue
        values = tensor.detach().to("cpu", torch.float32)
        step = values.abs().amax(int(name.endswith(DOWN)), keepdim=True) / 127
        stored[name] = torch.where(step > 0, values / step, 0).round().to(torch.int8).contiguous()
        stored[name + STEP] = step.contiguous()
    save_file(stored, folder / "parts.safetensors", metadata={"format": "pt"})
    (folder / "parts.json").write_text(json.dumps(facts, indent=2) + "\n")


def read_parts(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of `parts.safetensors` as float32 (see `write_parts`)."""
    stored = load_file(folder / "parts.safetensors")
    steps = {name.removesuffix(STEP): stored.pop(name) for name in list(stored) if name.endswith(STEP)}
    return {name: tensor.float() * steps.get(name, 1.0) for name, tensor in stored.items()}
