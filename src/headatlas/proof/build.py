"""Build a small model of any family with random weights, scaled so that every attention head has an effect."""

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from headatlas.errors import HeadAtlasError
from headatlas.families.family import family_of
from headatlas.proof.shrink import shrink
from headatlas.registry import near

MODEL_TYPES: tuple[str, ...] = tuple(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
"""The model types that `AutoModelForImageTextToText` of the installed transformers supports."""


def tiny_config(family: str) -> PreTrainedConfig:
    """A small configuration of the family's own class.

    Raises:
        HeadAtlasError: the installed transformers does not have the family.
    """
    if family not in MODEL_TYPES:
        raise HeadAtlasError(
            f"family must be a model type of AutoModelForImageTextToText, such as {MODEL_TYPES[0]!r}; "
            f"got {family!r}{near(family, MODEL_TYPES)}"
        )
    config_class, tiny = CONFIG_MAPPING[family], family_of(family).tiny_model
    return config_class.from_dict(shrink(config_class(**tiny.config_arguments).to_dict(), tiny.config))


def tiny_model(family: str, seed: int = 0, config: PreTrainedConfig | None = None) -> PreTrainedModel:
    """A small model of `family`: random weights (the same for the same seed), float32, on the CPU, in evaluation mode.

    `config` replaces `tiny_config(family)`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The class is looked up by name, because AutoModel cannot build every family in its own list.
        model = (
            getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family])
            ._from_config(config or tiny_config(family))
            .eval()
        )
        rescale(model)
    return model


@torch.no_grad()
def rescale(model: nn.Module) -> None:
    """Draw larger weights, so that every layer changes the output: with the usual 0.02 a head's effect is lost in rounding.

    Entries of matrices get variance 1 / fan-in, embeddings standard deviation 0.7, biases and norms some noise. Gates and
    layer scales that start at or near zero get larger values.
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
