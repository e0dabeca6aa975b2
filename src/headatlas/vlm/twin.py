"""The untrained twin of a model: the same architecture, tokenizer and image processor with new random weights.

A result that the twin also shows does not come from training, but from the architecture, the prompt or the method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM


def untrained_twin(vlm: VLM, seed: int = 0) -> VLM:
    """A model of the same class and configuration, with weights as its family initialises them, on the same device.

    Args:
        vlm: the model; it is not changed.
        seed: of the weights.

    Raises:
        HeadAtlasError: a quantised model, or one whose class cannot be built from its configuration.
    """
    from headatlas.vlm.model import VLM as Model

    model: Any = vlm.model
    if getattr(model, "is_quantized", False):
        raise HeadAtlasError(
            f"an untrained twin needs a model that is not quantised, got {vlm.name}; load it in bfloat16 or float32"
        )
    plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            twin = type(plain)._from_config(plain.config, dtype=vlm.dtype)
    except (AttributeError, TypeError, ValueError) as error:
        raise HeadAtlasError(f"an untrained twin of {vlm.name} cannot be built: {error}") from error
    twin.generation_config = plain.generation_config
    return Model(f"untrained twin of {vlm.name}", twin.to(vlm.device).eval(), vlm.processor)
