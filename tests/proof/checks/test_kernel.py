"""Kernel calls are seen inside their attention only, and a silenced head gives nothing."""

import torch

from headatlas.heads import ZReader
from headatlas.proof.checks.kernel import KernelCalls


def test_every_site_calls_sdpa_once_with_its_heads(tiny):
    with KernelCalls(tiny.model, tiny.grid) as seen:
        tiny.forward()
    assert {site.name: calls for site, calls in seen.calls.items()} == {
        site.name: [("sdpa", site.n_heads)] for site in tiny.grid.sites
    }


def test_a_silenced_head_has_no_z_and_the_others_keep_theirs(tiny):
    site = tiny.grid.tower("L")[0]
    with ZReader(tiny.grid) as bare:
        tiny.forward()
    with KernelCalls(tiny.model, tiny.grid, (site, "sdpa", 2)), ZReader(tiny.grid) as reader:
        tiny.forward()
    assert not reader.z[0][:, :, 2].any()
    assert torch.equal(reader.z[0][:, :, [0, 1, 3]], bare.z[0][:, :, [0, 1, 3]])


def test_eager_attention_is_seen_by_its_softmax(tiny):
    text = tiny.model.model.language_model.config
    text._attn_implementation = "eager"
    try:
        with KernelCalls(tiny.model, tiny.grid) as seen:
            tiny.forward()
    finally:
        text._attn_implementation = "sdpa"
    assert seen.kernel_of(tiny.grid.tower("L")[0]) == ("softmax", {4})
    assert seen.kernel_of(tiny.grid.tower("V")[0]) == ("sdpa", {4})


def test_nothing_is_left_behind(tiny):
    with KernelCalls(tiny.model, tiny.grid) as seen:
        tiny.forward()
    count = sum(map(len, seen.calls.values()))
    tiny.forward()
    assert sum(map(len, seen.calls.values())) == count
