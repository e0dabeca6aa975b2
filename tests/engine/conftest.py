"""The tiny random models of tests/heads, with two answers per row, so that the engine runs on five families."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from headatlas.vlm.batch import Batch

_FILE = Path(__file__).parents[1] / "heads" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("heads_conftest", _FILE)
families = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(families)

FAMILIES = ("llava", "qwen2_5_vl", "gemma3", "mllama", "idefics3")
ALONG_TOKENS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")


def cut(inputs, end):
    """The inputs of the same rows, as if the text ended there."""
    return {name: value[:, :end] if name in ALONG_TOKENS else value for name, value in inputs.items()}


@pytest.fixture(params=FAMILIES)
def case(request):
    """A model, and a batch of two rows with two answers each; the second row is padded on the right."""
    made = families.tiny(request.param)
    inputs = dict(made.images)
    length = inputs["input_ids"].shape[1]
    mask = inputs["attention_mask"].clone()
    mask[1, -1] = 0
    inputs["attention_mask"] = mask
    spans = (((length - 6, length - 4), (length - 2, length)), ((length - 6, length - 5), (length - 4, length - 1)))
    batch = Batch(inputs, spans, ((True, True),) * 2, inputs["input_ids"] == 5, (0, 0), "right", False)
    return SimpleNamespace(model=made.model, grid=made.grid, batch=batch, family=made.family)


@pytest.fixture(autouse=True)
def _no_hook_left():
    """No test may leave a hook or a replaced forward on a shared model."""
    yield
    for made in families.MADE:
        for module in made.model.modules():
            assert not module._forward_pre_hooks
            assert "forward" not in module.__dict__
