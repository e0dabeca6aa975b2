"""The untrained twin of a model: the same architecture, processor and chat template, with weights drawn anew.

What a method finds in the twin is a property of the architecture, the tokenizer and the pictures, not of what was learned.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch

from headatlas.errors import HeadAtlasError
from headatlas.vlm.model import VLM


def untrained_twin(vlm: VLM, seed: int = 0) -> VLM:
    """Build a model like `vlm` with the random weights that its class starts training from.

    Args:
        vlm: the model; it is not changed. Adapters that were put into it are left out.
        seed: of the weights; torch's own random state is left as it was.

    Returns:
        A VLM of the same dtype on the same device, in eval mode, whose name ends in "(untrained twin)".

    Raises:
        HeadAtlasError: the model is quantized or spread over devices, so that its class cannot be built from its configuration
            alone.
    """
    model: Any = vlm.model
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = copy.deepcopy(cast(Any, model).config)
    if getattr(config, "quantization_config", None) is not None or getattr(model, "hf_device_map", None):
        raise HeadAtlasError(
            f"{vlm.name}: an untrained twin needs a model that is neither quantized nor spread over devices; load it plainly, "
            "or study it with twin=false"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = type(model)._from_config(config)
    twin = twin.to(device=vlm.device, dtype=vlm.dtype).eval().requires_grad_(False)
    return VLM(f"{vlm.name} (untrained twin)", twin, vlm.processor)
