import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import least_important, other_functions, random_sets

SHAPE = (4, 8)
CHOSEN = HeadSet([Head(1, 0), Head(1, 5), Head(3, 2)])


@pytest.mark.parametrize("match", ["uniform", "layer", "layer_norm"])
def test_sets_have_the_size_and_avoid_the_selected(match):
    norms = np.random.default_rng(0).random(SHAPE)
    sets = random_sets(CHOSEN, SHAPE, 12, match, norms=norms, rng=3)
    assert len(sets) == 12
    assert all(len(s) == 3 and not (s & CHOSEN) for s in sets)
    if match != "uniform":
        assert all(s.layers() == CHOSEN.layers() for s in sets)
    assert sets == random_sets(CHOSEN, SHAPE, 12, match, norms=norms, rng=3)
    assert sets != random_sets(CHOSEN, SHAPE, 12, match, norms=norms, rng=4)


def test_layer_matched_draws_are_uniform_over_the_free_heads_of_the_layer():
    counts = np.zeros(8)
    for seed in range(700):
        for drawn in random_sets(HeadSet([Head(2, 7)]), SHAPE, 3, "layer", rng=seed):
            counts[[head.head for head in drawn]] += 1
    assert counts[7] == 0
    assert (np.abs(counts[:7] - 300) < 80).all()


@pytest.mark.parametrize(("match", "there_are"), [("layer", 7), ("uniform", 31), ("layer_norm", 3)])
def test_no_set_comes_twice_and_all_come_where_fewer_than_asked_for(match, there_are):
    norms = np.random.default_rng(0).random(SHAPE)
    sets = random_sets(HeadSet([Head(2, 7)]), SHAPE, 100, match, norms=norms)
    assert len(sets) == len(set(sets)) == there_are


def test_norm_matched_heads_have_nearer_norms_than_layer_matched():
    norms = np.tile(np.arange(8.0), (4, 1))
    chosen = HeadSet([Head(0, 0), Head(2, 7)])

    def distance(match):
        sets = random_sets(chosen, SHAPE, 100, match, norms=norms)
        return np.mean([abs(h.head - {0: 0, 2: 7}[h.layer]) for s in sets for h in s])

    assert distance("layer_norm") < 2.3 < 3.5 < distance("layer")


def test_too_few_free_heads_are_filled_up_and_told():
    chosen = HeadSet([Head(0, h) for h in range(6)])
    for drawn in random_sets(chosen, SHAPE, 5, "layer"):
        assert len(drawn) == 6
        assert {Head(0, 6), Head(0, 7)} <= set(drawn)
        assert "4 of 6 heads shared" in drawn.reason


def test_empty_set_has_an_empty_control():
    assert [len(s) for s in random_sets(HeadSet(), SHAPE, 3)] == [0]


def test_least_and_others():
    ranking = [Head(0, 2), Head(0, 1), Head(0, 0)]
    assert set(least_important(ranking, 2)) == {Head(0, 0), Head(0, 1)}
    assert len(least_important(ranking, 0)) == 0
    sets = {"a": HeadSet([Head(0, 0), Head(0, 1)]), "b": HeadSet([Head(0, 1), Head(0, 2)])}
    assert set(other_functions(sets, "a")) == {Head(0, 2)}


def test_mistakes_are_one_line():
    with pytest.raises(HeadAtlasError, match="got 'depth'"):
        random_sets(CHOSEN, SHAPE, 1, "depth")
    with pytest.raises(HeadAtlasError, match="needs norms"):
        random_sets(CHOSEN, SHAPE, 1, "layer_norm")
    with pytest.raises(HeadAtlasError, match=r"L3\.H2 lies outside"):
        random_sets(CHOSEN, (2, 8), 1)
    with pytest.raises(HeadAtlasError, match="at most the 1"):
        least_important([Head(0, 0)], 2)
    with pytest.raises(HeadAtlasError, match="got 'c'"):
        other_functions({}, "c")
