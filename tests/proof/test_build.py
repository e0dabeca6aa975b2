"""A tiny model is small, the same for the same seed, and all its heads have effects."""

import torch
from torch import nn

from headatlas.proof import tiny_model
from headatlas.proof.build import rescale


def test_same_seed_same_weights_and_the_callers_randomness_is_kept():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, other = tiny_model("llava", 0), tiny_model("llava", 0), tiny_model("llava", 1)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(a.parameters(), other.parameters(), strict=True))
    assert sum(p.numel() for p in a.parameters()) < 1e6
    assert not a.training


def test_rescale_opens_gates_and_layer_scales():
    module = nn.Module()
    module.attn_gate = nn.Parameter(torch.zeros(1))
    module.layer_scale = nn.Parameter(torch.full((3,), 1e-5))
    module.weight = nn.Parameter(torch.full((400, 100), 1e-3))
    rescale(module)
    assert module.attn_gate.item() > 0.5
    assert module.layer_scale.min() > 0.1
    assert 0.09 < module.weight.std() < 0.11
