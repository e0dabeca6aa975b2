import numpy as np
import pytest
import torch

from headatlas.engine import sweep
from headatlas.engine.attribution import attributed_losses
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, mean, scale
from headatlas.vlm.chat import conversation


@pytest.fixture(scope="module")
def chats(tiny_questions):
    return [conversation(question) for question in tiny_questions]


@pytest.mark.parametrize("scope", ["all", "answer", "last", "prompt", "image"])
def test_the_estimate_is_the_slope_of_the_exact_effect(tiny_vlm, chats, scope):
    """Scaling a head by 1 +- e moves the answer by e times what attribution says its removal (zero) costs."""
    e = 0.02
    estimate = attributed_losses(tiny_vlm, chats, None, scope, batch_size=3)
    heads = list(tiny_vlm.heads.heads())
    found = sweep(tiny_vlm, chats, [[scale(HeadSet([head]), by)] for by in (1 + e, 1 - e) for head in heads], scope)
    up, down = np.split(found.logprob, 2)
    exact = (up - down).T.reshape(estimate.shape) / (2 * e)
    np.testing.assert_allclose(estimate, exact, atol=0.05 * np.abs(exact).max())
    assert np.corrcoef(estimate.ravel(), exact.ravel())[0, 1] > 0.999


def test_a_path_ends_nearer_to_the_exact_effect_of_everything(tiny_vlm, chats):
    """Summed over all heads, the path average is what replacing all of them at once costs; one gradient is not."""
    values = np.zeros(tiny_vlm.heads.dims("L"), np.float32)
    every = HeadSet(tiny_vlm.heads.heads())
    found = sweep(tiny_vlm, chats, [[mean(every, torch.from_numpy(values))]])
    exact = found.bare[0] - found.logprob[0]
    off = []
    for steps in (1, 20):
        estimate = attributed_losses(tiny_vlm, chats, values, steps=steps, batch_size=8)
        assert estimate.shape == (len(exact), *tiny_vlm.heads.shape)
        off.append(np.abs(estimate.sum((1, 2)) - exact).mean())
    assert off[1] < off[0]


def test_no_weight_is_left_frozen_and_mistakes_are_one_line(tiny_vlm, chats):
    weight = next(tiny_vlm.model.parameters())
    weight.requires_grad_(True)
    attributed_losses(tiny_vlm, chats[:1])
    assert weight.requires_grad
    assert weight.grad is None
    weight.requires_grad_(False)
    assert not any(module._forward_pre_hooks for module in tiny_vlm.model.modules())
    with pytest.raises(HeadAtlasError, match="shape"):
        attributed_losses(tiny_vlm, chats, np.zeros((1, 2, 3)))
    with pytest.raises(HeadAtlasError, match="steps must be at least 1"):
        attributed_losses(tiny_vlm, chats, steps=0)
