"""A tiny llava with its grid and inputs, made once: the ground on which checks are shown to hold, and to fail."""

from types import SimpleNamespace

import pytest
import torch

from headatlas.families import TinyModel
from headatlas.heads import find_heads
from headatlas.proof import InputMaker, tiny_model


@pytest.fixture(scope="session")
def _tiny():
    with torch.no_grad():
        model = tiny_model("llava")
        maker = InputMaker(model, "llava", TinyModel()).with_images()
    return SimpleNamespace(model=model, grid=find_heads(model), maker=maker)


@pytest.fixture
def tiny(_tiny):
    """`.model`, `.grid`, `.maker`, `.forward()`."""
    inputs = _tiny.maker([0])
    with torch.no_grad():
        yield SimpleNamespace(**vars(_tiny), forward=lambda: _tiny.model(**inputs).logits)
    assert not any(module._forward_pre_hooks for module in _tiny.model.modules())
