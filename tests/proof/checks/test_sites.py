"""The checks of sites hold for the true grid, and fail for each way a grid can be wrong."""

from dataclasses import replace

import pytest
import torch

from headatlas.heads import HeadGrid, Site
from headatlas.proof.checks import check_heads, check_no_op, check_sum, check_zero
from headatlas.proof.checks import sites as module
from headatlas.proof.checks.sites import difference


def verdicts(results):
    return [result.verdict for _, result in results]


def grid_of(tiny, change):
    return HeadGrid(tuple(change(site) for site in tiny.grid.sites), tiny.grid.language)


def test_all_hold_for_the_true_grid(tiny):
    assert set(verdicts(check_sum(tiny.forward, tiny.grid))) == {"holds"}
    assert set(verdicts(check_heads(tiny.forward, tiny.model, tiny.grid))) == {"holds"}
    assert check_no_op(tiny.forward, tiny.model, tiny.grid).verdict == "holds"


def test_a_layer_that_the_model_does_not_read_is_told_and_not_counted_as_proof(tiny):
    """LLaVA takes the picture from the last but one layer, so the last one's heads change nothing."""
    results = {f"{s.tower}{s.layer}": r for s, r in check_zero(tiny.forward, tiny.model, tiny.grid)}
    assert {name: r.verdict for name, r in results.items()} == {
        **dict.fromkeys(("L0", "L1", "V0"), "holds"),
        "V1": "not applicable",
    }
    assert "does not reach the logits" in results["V1"].reason


@pytest.mark.parametrize(("n_heads", "d_head"), [(8, 8), (2, 32)])
def test_a_wrong_head_count_fails_though_sums_and_columns_agree(tiny, n_heads, d_head):
    wrong = grid_of(tiny, lambda site: replace(site, n_heads=n_heads, d_head=d_head))
    assert set(verdicts(check_sum(tiny.forward, wrong))) == {"holds"}
    results = [result for _, result in check_heads(tiny.forward, tiny.model, wrong)]
    assert {r.verdict for r in results} == {"fails"}
    assert all("has 4 heads" in r.reason for r in results)


class Permuted(Site):
    """A site that takes the heads in another order."""

    def split(self, hidden):
        return super().split(hidden).flip(2)


def test_permuted_heads_fail(tiny):
    def flipped(site):
        return Permuted(site.tower, site.layer, site.name, site.module, site.n_heads, site.d_head, site.owner)

    wrong = grid_of(tiny, flipped)
    assert set(verdicts(check_heads(tiny.forward, tiny.model, wrong))) == {"fails"}
    assert set(verdicts(check_sum(tiny.forward, wrong))) == {"fails"}


def test_a_projection_that_is_not_the_output_fails(tiny):
    """The query projection's input is not z: silencing a head in the kernel leaves it as it was."""

    def query(site):
        attention = tiny.model.get_submodule(site.owner)
        return replace(site, projection=attention.q_proj, attention=None, name=f"{site.owner}.q_proj")

    assert set(verdicts(check_heads(tiny.forward, tiny.model, grid_of(tiny, query)))) == {"fails"}


def test_heads_without_an_effect_fail_rather_than_hold(tiny):
    """With weights so small that nothing matters, edit and cut agree, and this proves nothing."""
    site = tiny.grid.tower("L")[0]
    kept = site.module.weight.clone()
    site.module.weight.mul_(1e-12)
    try:
        results = [result for _, result in check_zero(tiny.forward, tiny.model, HeadGrid((site,)))]
    finally:
        site.module.weight.copy_(kept)
    assert [r.verdict for r in results] == ["fails"]
    assert "no effect to compare" in results[0].reason


def test_an_edit_of_another_head_fails(tiny, monkeypatch):
    true = module.zero
    monkeypatch.setattr(module, "zero", lambda heads: true([replace(h, head=(h.head + 1) % 4) for h in heads]))
    assert "fails" in verdicts(check_zero(tiny.forward, tiny.model, tiny.grid))


def test_hooks_that_change_a_bit_fail(tiny, monkeypatch):
    true = module.scale
    monkeypatch.setattr(module, "scale", lambda heads, factor: true(heads, 1 + 1e-6))
    assert check_no_op(tiny.forward, tiny.model, tiny.grid).verdict == "fails"


def test_a_site_that_is_not_called_fails(tiny):
    idle = replace(tiny.grid.tower("L")[0], projection=torch.nn.Linear(64, 64), attention=None, name="idle")
    results = [result for _, result in check_sum(tiny.forward, HeadGrid((idle,)))]
    assert results[0].verdict == "fails"
    assert "is not called" in results[0].reason


def test_difference_is_a_share_and_sees_bans_shapes_and_nan():
    a = torch.tensor([1.0, -4.0])
    assert difference(a, a + torch.tensor([0.0, 0.4])) == pytest.approx(0.1)
    banned = torch.tensor([1.0, torch.finfo(torch.float32).min])
    assert difference(banned, torch.tensor([2.0, torch.finfo(torch.float32).min])) == pytest.approx(0.5)
    assert difference(banned, a) == float("inf")
    assert difference(a, a[:1]) == float("inf")
    assert difference(a, torch.tensor([float("nan"), 1.0])) == float("inf")
