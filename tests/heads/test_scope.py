"""Masks are cut to the current forward, and whatever does not fit raises."""

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads.scope import SCOPES, Positions, Window, check_scope, current_mask

ANSWER = torch.tensor([[False, False, True, True], [False, True, True, False]])


@pytest.fixture
def positions():
    return Positions(answer=ANSWER, image=~ANSWER, last=ANSWER)


def test_all_needs_nothing():
    assert current_mask("all", None, None, 7, 7) is None


def test_whole_forward_sees_the_whole_mask(positions):
    assert torch.equal(current_mask("answer", positions, Window(0, 4), 2, 4), ANSWER)


def test_continued_forward_sees_its_slice(positions):
    assert torch.equal(current_mask("answer", positions, Window(1, 2), 2, 2), ANSWER[:, 1:3])


@pytest.mark.parametrize(("scope", "inside"), [("answer", True), ("last", True), ("image", False)])
def test_decoded_tokens_are_answer_and_last(positions, scope, inside):
    for past in (4, 5, 90):
        mask = current_mask(scope, positions, Window(past, 1), 2, 1)
        assert mask.shape == (2, 1)
        assert bool((mask == inside).all())


@pytest.mark.parametrize(
    ("scope", "window", "rows", "length", "message"),
    [
        ("prompt", Window(0, 4), 2, 4, "needs the mask 'prompt'"),
        ("answer", None, 2, 4, "cannot place 4 tokens"),
        ("answer", Window(0, 3), 2, 4, "cannot place 4 tokens"),
        ("answer", Window(0, 4), 6, 4, "have 2 rows, the forward has 6"),
        ("answer", Window(0, 5), 2, 5, "cover 4 tokens, the forward has 5"),
        ("answer", Window(0, 3), 2, 3, "cover 4 tokens, the forward has 3"),
        ("answer", Window(3, 2), 2, 2, "beyond masks of 4 tokens"),
        ("answer", Window(4, 2), 2, 2, "beyond masks of 4 tokens"),
    ],
)
def test_misfits_raise(positions, scope, window, rows, length, message):
    with pytest.raises(HeadAtlasError, match=message):
        current_mask(scope, positions, window, rows, length)


def test_missing_positions_raise():
    with pytest.raises(HeadAtlasError, match=r"set active\.positions"):
        current_mask("answer", None, Window(0, 4), 2, 4)


def test_masks_of_one_batch_have_one_shape():
    with pytest.raises(HeadAtlasError, match="one shape"):
        Positions(answer=ANSWER, image=ANSWER[:, :3])


def test_scope_names():
    assert [check_scope(scope) for scope in SCOPES] == list(SCOPES)
    with pytest.raises(HeadAtlasError, match="scope must be one of all, image"):
        check_scope("answers")
