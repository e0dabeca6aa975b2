"""The checks of whole runs hold for a true edit and fail when rows, cache or kernel are not what they should be."""

from contextlib import contextmanager

import pytest
import torch

from headatlas.heads import edit_heads
from headatlas.heads.apply import ActiveEdit
from headatlas.proof.checks import check_cache, check_kernel, check_ragged
from headatlas.proof.checks import sequences as module


@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_rows_hold(tiny, side):
    result = check_ragged(tiny.model, tiny.grid, tiny.maker, side)
    assert (result.verdict, result.reason) == ("holds", "")
    assert result.difference < 1e-5


def test_cache_and_kernel_hold(tiny):
    assert check_cache(tiny.model, tiny.grid, tiny.maker).verdict == "holds"
    result = check_kernel(tiny.model, tiny.grid, tiny.maker([0]))
    assert (result.verdict, result.reason) == ("holds", "sdpa")


def test_edits_of_swapped_rows_fail(tiny, monkeypatch):
    def swapped(model, grid, edits, *more):
        per_row = len(edits) > 1 and isinstance(edits[0], list)
        return edit_heads(model, grid, edits[::-1] if per_row else edits, *more)

    monkeypatch.setattr(module, "edit_heads", swapped)
    assert check_ragged(tiny.model, tiny.grid, tiny.maker, "right").verdict == "fails"


def test_edits_without_effect_fail(tiny, monkeypatch):
    monkeypatch.setattr(module, "edit_heads", lambda model, grid, edits, *more: edit_heads(model, grid, []))
    assert "no effect" in check_ragged(tiny.model, tiny.grid, tiny.maker, "left").reason
    assert "no effect" in check_cache(tiny.model, tiny.grid, tiny.maker).reason


def test_an_edit_that_misses_decoded_tokens_fails(tiny, monkeypatch):
    """Such as one that acts on the first forward only: cached decoding then differs from uncached."""

    true = ActiveEdit.apply

    def first_forward_only(self, site, hidden):
        return true(self, site, hidden) if hidden.shape[1] > 1 else hidden

    monkeypatch.setattr(ActiveEdit, "apply", first_forward_only)
    assert check_cache(tiny.model, tiny.grid, tiny.maker).verdict == "fails"


def test_another_kernel_under_the_edit_fails(tiny, monkeypatch):
    text = tiny.model.model.language_model

    @contextmanager
    def eager(model, grid, edits, *more):
        text.config._attn_implementation = "eager"
        try:
            with edit_heads(model, grid, edits) as active:
                yield active
        finally:
            text.config._attn_implementation = "sdpa"

    monkeypatch.setattr(module, "edit_heads", eager)
    result = check_kernel(tiny.model, tiny.grid, tiny.maker([0]))
    assert (result.verdict, result.reason) == ("fails", "other kernel calls with hooks than without")


def test_a_model_that_ignores_its_padding_is_told_not_blamed_on_the_edit(tiny, monkeypatch):
    true = tiny.model.forward
    monkeypatch.setattr(tiny.model, "forward", lambda attention_mask=None, **rest: true(**rest))
    result = check_ragged(tiny.model, tiny.grid, tiny.maker, "left")
    assert result.verdict == "not applicable"
    assert "the bare model's own rows differ" in result.reason


def test_decoding_gives_raw_logits_of_every_new_token(tiny):
    tokens, logits = module.decode(tiny.model, tiny.maker([0]), True, tiny.maker.special_tokens)
    assert tokens.shape == (1, module.NEW_TOKENS)
    assert logits.shape[:2] == (1, module.NEW_TOKENS)
    assert not set(tokens[0].tolist()) & set(tiny.maker.special_tokens)
    assert bool(torch.isfinite(logits).all())
