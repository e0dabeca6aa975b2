"""`Loading`: how a model is loaded, as the command line and studies pass it on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headatlas.vlm.load import check_vlm, load_vlm
from headatlas.vlm.model import VLM
from headatlas.vlm.recipe import HeadRecipe

ANSWERS = ("dtype", "quantization", "revision")
"""Arguments of `load_vlm` that change answers, so that a study records them."""


def loaded_as(vlm: VLM) -> dict[str, Any]:
    """The arguments in `ANSWERS` with which a model was loaded, as far as they still describe it; None for the others."""
    found = {name: vlm.loaded_with.get(name) for name in ANSWERS}
    if found["dtype"] != str(vlm.dtype).removeprefix("torch."):  # not given, or the model was converted
        found["dtype"] = None
    return found


@dataclass(frozen=True)
class Loading:
    """Arguments of `load_vlm` besides the model's name.

    Attributes:
        dtype: `float32`, `bfloat16` or `float16`; None: as `load_vlm` chooses.
        quantization: `8bit` or `4bit` (bitsandbytes, on CUDA); None: none.
        revision: of a Hugging Face id: branch, tag or commit.
        device: such as `cpu` or `cuda:1`; None: the first CUDA device if there is one, else the CPU.
        device_map: instead of `device`, how accelerate spreads the layers, such as `auto`.
        trust_remote_code: allow code that comes with the checkpoint to run.

    A study records those in `ANSWERS`; the others are asked for in every call.
    """

    dtype: str | None = None
    quantization: str | None = None
    revision: str | None = None
    device: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False

    def load(self, name: str) -> VLM:
        """Load the model; errors as `load_vlm`."""
        return load_vlm(
            name, self.device, self.dtype, self.trust_remote_code, device_map=self.device_map,
            quantization=self.quantization, revision=self.revision,
        )  # fmt: skip

    def like(self, recipe: HeadRecipe) -> Loading:
        """This, with the dtype for which the recipe was made if none is given."""
        return replace(self, dtype=recipe.dtype) if self.dtype is None and self.quantization is None else self

    def check(self, name: str) -> None:
        """Raise as `load` does if `name` is not a vision-language model; reads no weights."""
        check_vlm(name, self.trust_remote_code, self.revision)
