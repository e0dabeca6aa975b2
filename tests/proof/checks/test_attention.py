"""The check of attention rows says no where rows or edits are wrong, and names what cannot be read."""

from dataclasses import replace

import pytest
import torch

from headatlas.heads import find_heads
from headatlas.heads.attention import AttentionCall
from headatlas.proof.build import tiny_model
from headatlas.proof.checks.attention import check_attention, check_attention_edit, check_rows

IDS = torch.arange(20, 29)[None]


def tiny(family):
    model = tiny_model(family)
    return model, find_heads(model), lambda: model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def llava():
    return tiny("llava")


def test_it_holds(llava):
    model, grid, forward = llava
    results = check_rows(forward, model, grid, "L")
    assert [(r.check, r.verdict, r.reason) for r in results] == [
        ("attention", "holds", ""),
        ("attention edit", "holds", ""),
    ]


@pytest.mark.parametrize("fault", ["scale", "mask", "heads"])
def test_wrong_rows_fail(llava, monkeypatch, fault):
    model, grid, forward = llava
    if fault == "scale":
        logits = AttentionCall.logits
        monkeypatch.setattr(AttentionCall, "logits", lambda self, heads, at: 1.1 * logits(self, heads, at))
    elif fault == "mask":
        monkeypatch.setattr(AttentionCall, "mask_rows", lambda self, heads, at: None)
    else:
        logits = AttentionCall.logits
        monkeypatch.setattr(AttentionCall, "logits", lambda self, heads, at: logits(self, heads, at).flip(1))
    assert check_attention(forward, model, grid, "L").verdict == "fails"


def test_wrong_edits_fail(llava, monkeypatch):
    model, grid, forward = llava
    from headatlas.heads.attention import plan

    change = plan._change

    def wrong(*args):
        right = change(*args)
        return replace(right, change=lambda logits: right.change(right.change(logits)))

    monkeypatch.setattr(plan, "_change", wrong)
    assert check_attention_edit(forward, model, grid, "L").verdict == "fails"


def test_own_code_is_named():
    model, grid, forward = tiny("git")
    for result in check_rows(forward, model, grid, "L"):
        assert result.verdict == "not applicable"
        assert "does not call transformers' attention interface" in result.reason
