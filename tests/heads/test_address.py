"""Written addresses round-trip, and a HeadSet is a set that keeps its order."""

import numpy as np
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, as_heads


def test_heads_are_written_and_read():
    assert str(Head(12, 5)) == "L12.H5"
    assert str(Head(3, 2, "V")) == "V3.H2"
    for text in ("L12.H5", "V3.H2", "X2.H1", "E1.H0", "C2.H3", "L0.H0"):
        assert str(Head.parse(text)) == text


@pytest.mark.parametrize("text", ["", "L1", "12.5", "Q1.H2", "L1.H2.H3", "L-1.H2", "l1.h2"])
def test_other_texts_are_refused(text):
    with pytest.raises(HeadAtlasError, match="must be written like"):
        Head.parse(text)


def test_negative_heads_are_refused():
    with pytest.raises(HeadAtlasError, match="layer >= 0"):
        Head(-1, 0)


def test_heads_sort_by_tower_layer_head():
    given = HeadSet.parse("X0.H0 V0.H1 L10.H0 L2.H3 L2.H1")
    assert str(given.sorted()) == "L2.H1 L2.H3 L10.H0 V0.H1 X0.H0"


def test_set_keeps_order_and_drops_repeats():
    heads = HeadSet.parse("L3.H1, L0.H2 L3.H1 L1.H0")
    assert str(heads) == "L3.H1 L0.H2 L1.H0"
    assert len(heads) == 3
    assert Head(0, 2) in heads
    assert str(heads[:2]) == "L3.H1 L0.H2"
    assert heads == HeadSet.parse("L1.H0 L0.H2 L3.H1")
    assert hash(heads) == hash(HeadSet.parse("L1.H0 L0.H2 L3.H1"))


def test_set_algebra_keeps_the_first_sets_order():
    a, b = HeadSet.parse("L2.H0 L1.H0 L0.H0"), HeadSet.parse("L0.H0 L5.H5 L2.H0")
    assert str(a & b) == "L2.H0 L0.H0"
    assert str(a | b) == "L2.H0 L1.H0 L0.H0 L5.H5"
    assert str(a - b) == "L1.H0"
    assert all(isinstance(result, HeadSet) for result in (a & b, a | b, a - b))


def test_layers_counts():
    assert HeadSet.parse("L2.H0 L0.H1 L2.H1").layers() == {0: 1, 2: 2}


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_mask_round_trip(make):
    mask = make([[True, False, False], [False, True, True]])
    heads = HeadSet.from_mask(mask, reason="why")
    assert str(heads) == "L0.H0 L1.H1 L1.H2"
    assert heads.reason == "why"
    np.testing.assert_array_equal(heads.mask((2, 3)), np.asarray(mask))


def test_mask_refuses_heads_outside():
    with pytest.raises(HeadAtlasError, match=r"L1\.H2 does not fit"):
        HeadSet.parse("L1.H2").mask((2, 2))
    with pytest.raises(HeadAtlasError, match=r"V0\.H0 does not fit tower L"):
        HeadSet.parse("V0.H0").mask((2, 2))


def test_json_round_trip_also_when_empty():
    for heads in (HeadSet.parse("L3.H1 V0.H2", "top 2"), HeadSet(reason="nothing beats the null")):
        back = HeadSet.from_json(heads.to_json())
        assert (list(back), back.reason) == (list(heads), heads.reason)


@pytest.mark.parametrize(
    "given",
    [
        "L1.H2",
        Head(1, 2),
        (1, 2),
        (1, 2, "L"),
        ["L1.H2"],
        [(1, 2)],
        np.array([[1, 2]]),
        HeadSet("L1.H2"),
        {Head(1, 2)},
        pytest.param((head for head in ["L1.H2", (1, 2)]), id="generator"),
        ((1, 2), "L1.H2"),
    ],
    ids=str,
)
def test_every_spelling_of_heads_is_taken(given):
    assert list(as_heads(given)) == [Head(1, 2)]


def test_several_spellings_in_one_list():
    assert HeadSet(["L1.H2", Head(1, 2), (0, 3), "V0.H0"]) == as_heads("L1.H2, L0.H3 V0.H0")
    assert "L1.H2" in as_heads("L1.H2")
    assert (1, 2) in as_heads("L1.H2")
    assert as_heads("L1.H2 L0.H3")[1] == Head(0, 3)
    same = HeadSet("L1.H2")
    assert as_heads(same) is same


@pytest.mark.parametrize(
    "given", [3, None, [3], [1, 2], (1, "H2"), [(1, 2, 3, 4)], [True, False], [(1.0, 2.0)], {"L": 1}]
)
def test_what_is_no_head_is_refused_in_one_line(given):
    with pytest.raises(HeadAtlasError, match=r"^(heads must be 'L0\.H7', Head\(0, 7\)|a head must be)"):
        as_heads(given)


def test_print_is_short():
    many = HeadSet(Head(layer, head) for layer in range(40) for head in range(40))
    assert len(repr(many)) < 200
    assert "1600 heads" in repr(many)
    assert HeadSet.parse(str(many)) == many
