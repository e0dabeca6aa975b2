"""A tiny model of any family with random weights in which attention matters.

Knows configurations (shrink.py) and torch modules; makes no inputs and checks nothing.
"""

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from headatlas.errors import HeadAtlasError
from headatlas.families.proof.adapters import ADAPTERS, Adapter
from headatlas.families.proof.shrink import shrink

FAMILIES: tuple[str, ...] = tuple(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
"""Every family (model type) that `AutoModelForImageTextToText` of the installed transformers knows."""


def adapter_of(family: str) -> Adapter:
    """What is declared about `family`; an empty `Adapter` for most."""
    return ADAPTERS.get(family, Adapter())


def tiny_config(family: str) -> PreTrainedConfig:
    """A small configuration of the family's own class. Raises `HeadAtlasError` for a family that transformers lacks."""
    if family not in FAMILIES:
        raise HeadAtlasError(
            f"expected a family of AutoModelForImageTextToText, such as {FAMILIES[0]!r}, got {family!r}"
        )
    kind, adapter = CONFIG_MAPPING[family], adapter_of(family)
    return kind.from_dict(shrink(kind(**adapter.start).to_dict(), adapter))


def tiny_model(family: str, seed: int = 0, config: PreTrainedConfig | None = None) -> PreTrainedModel:
    """A model of `family` with random weights, float32, on the CPU, in evaluation mode; the same for the same seed.

    `config` stands instead of `tiny_config(family)`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The class by name: AutoModel does not build every family that its own list names.
        model = (
            getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family])
            ._from_config(config or tiny_config(family))
            .eval()
        )
        rescale(model)
    return model


@torch.no_grad()
def rescale(model: nn.Module) -> None:
    """Weights of a size at which every layer has a say: with the usual 0.02, a head's effect drowns in rounding.

    Matrices get entries of variance 1 / fan-in, embeddings of variance 1; biases and norms are spread a little; gates and
    layer scales that start at or near zero are opened.
    """
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        if parameter.dim() > 1:
            table = "embed" in name or "position" in name or "latent" in name
            fan_in = (
                parameter[0].numel() if parameter.dim() > 3 else parameter.shape[-1]
            )  # of a convolution, of a matrix
            parameter.normal_(0, 0.7 if table else fan_in**-0.5)
        elif parameter.numel():
            first = parameter.flatten()[0]
            constant = bool((parameter == first).all())
            if constant and abs(float(first)) < 0.2 and ("gate" in name or "alpha" in name):
                parameter.fill_(0.7)
            elif constant and 0 < abs(float(first)) < 0.2 and "bias" not in name:
                parameter.fill_(0.5)  # a layer scale
            elif constant:
                parameter.add_(0.1 * torch.randn_like(parameter))
