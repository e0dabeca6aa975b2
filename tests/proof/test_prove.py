"""Families that stand for every kind of attention are proven on each run; all of them in the slow tier."""

from pathlib import Path

import pytest

from headatlas.families import FAMILIES, Family
from headatlas.heads import HeadGrid
from headatlas.proof import check_families, check_family
from headatlas.proof import prove as module

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
REPRESENTATIVE = {
    "llava": "plain",
    "qwen2_5_vl": "fused qkv, multimodal rotary positions, window attention",
    "gemma3": "sliding and full attention, head size not width / heads",
    "paligemma": "multi-query",
    "kimi_k25": "latent attention",
    "mllama": "cross attention, gates",
    "qwen3_5": "linear attention beside full attention",
    "nemotron_h_omni": "Mamba and experts",
    "qwen3_vl_moe": "experts",
    "instructblip": "Q-former",
    "florence2": "encoder-decoder, window and channel attention",
    "step3p7": "layers of unequal heads",
    "git": "no SDPA in transformers",
    "kosmos-2": "a norm over all heads before the output projection",
}
TOWERS = {
    "mllama": {"L", "V", "X"},
    "instructblip": {"L", "V", "C"},
    "florence2": {"L", "V", "X", "E"},
    "kosmos-2": {"L", "V", "C"},
}


@pytest.fixture(scope="module")
def reports():
    return check_families(list(REPRESENTATIVE))


@pytest.mark.parametrize("family", REPRESENTATIVE)
def test_representative_families_are_proven(reports, family):
    report = reports[family]
    assert (report.status, report.reason, report.inputs) == ("proven", "", "image")
    assert set(report.towers) == TOWERS.get(family, {"L", "V"})
    checks = {(c["check"], c["tower"]): c["verdict"] for c in report.checks}
    for tower in report.towers:
        assert {checks[name, tower] for name in ("sum", "heads", "zero")} == {"holds"}
    assert checks["no-op", ""] == "holds"
    assert "fails" not in checks.values()


def test_unequal_layers_are_addressed_site_by_site(reports):
    assert reports["step3p7"].towers["L"]["sizes"] == [[4, 24], [6, 24]]


def test_kernels_are_told(reports):
    told = {name: next(c for c in reports[name].checks if c["check"] == "kernel") for name in ("llava", "git")}
    assert told["llava"]["reason"] == "sdpa"
    assert "eager" in told["git"]["reason"]


def test_what_was_checked_without_a_picture_says_so(monkeypatch):
    assert check_family("fuyu").reason == "the family has no vision tower with heads"
    monkeypatch.setitem(FAMILIES._things, "fuyu", Family("fuyu"))
    report = check_family("fuyu")
    assert (report.status, report.inputs) == ("proven", "text")
    assert report.reason.startswith("checked on text alone: TypeError")


def test_a_wrong_grid_is_a_failure_of_the_family(monkeypatch):
    true = module.find_heads

    def halved(model):
        grid = true(model)
        sites = [type(s)(s.tower, s.layer, s.name, s.module, 2 * s.n_heads, s.d_head // 2, s.owner) for s in grid.sites]
        return HeadGrid(tuple(sites), grid.language)

    monkeypatch.setattr(module, "find_heads", halved)
    report = check_family("llava")
    assert report.status == "fails"
    assert "heads L" in report.reason


def test_what_cannot_be_checked_is_refused_with_the_reason():
    assert check_family("pi0").status == "refused"
    assert "actions" in check_family("pi0").reason


@pytest.mark.slow
def test_every_family_is_what_the_page_says():
    reports = check_families()
    families = PAGE.read_text().partition("## Real processors")[0]
    rows = [line.split("|") for line in families.splitlines() if line.startswith("| ")]
    claimed = {row[1].strip(): row[4].strip() for row in rows}
    assert claimed["llava"] == "proven"
    # A family that came to transformers after the page was made is not claimed.
    worse = {
        family: report.reason
        for family, report in reports.items()
        if claimed.get(family, report.status) != report.status != "proven"
    }
    assert not worse
    assert sum(report.status == "proven" for report in reports.values()) >= 85
    assert all(report.reason for report in reports.values() if report.status != "proven")
