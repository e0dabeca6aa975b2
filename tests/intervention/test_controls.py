import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import least_important, random_sets

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
    sets = random_sets(HeadSet([Head(2, 7)]), SHAPE, 100, match, norms=norms, least=1)
    assert len(sets) == len(set(sets)) == there_are


def test_the_matching_is_widened_until_there_are_enough_sets():
    one = HeadSet([Head(2, 7)])
    in_layer = random_sets(one, SHAPE, 100, least=7)
    assert (len(in_layer), in_layer[0].reason) == (7, "random, in the same layers")
    near = random_sets(one, SHAPE, 100, least=20)
    assert len(near) == 23  # layers 1, 2 and 3
    assert near[0].reason == "random, at most 1 layer away"
    assert {head.layer for drawn in near for head in drawn} == {1, 2, 3}
    every = random_sets(one, SHAPE, 100, least=39)
    assert len(every) == 31  # as many as there are
    two = random_sets(HeadSet([Head(2, 7), Head(2, 6)]), (1 + 2, 8), 100)
    assert len(two) == 91  # every pair of the 14 heads of layers 1 and 2
    assert two[0].reason == "random, at most 1 layer away"  # 15 pairs in the layer are fewer than 39


def test_excluded_heads_are_drawn_only_where_nothing_else_is_left():
    one, functional = HeadSet([Head(2, 7)]), [Head(2, head) for head in range(6)]
    sets = random_sets(one, SHAPE, 20, exclude=functional, least=20)
    assert len(sets) == 20
    assert not {head for drawn in sets for head in drawn} & set(functional)
    every = [Head(layer, head) for layer in range(4) for head in range(8)]
    sets = random_sets(one, SHAPE, 20, exclude=every)
    assert len(sets) == 20
    assert all(drawn.reason.endswith("heads of other functions included") for drawn in sets)


def test_norm_matched_heads_have_nearer_norms_than_layer_matched():
    norms = np.tile(np.arange(8.0), (4, 1))
    chosen = HeadSet([Head(0, 0), Head(2, 7)])

    def distance(match):
        sets = random_sets(chosen, SHAPE, 100, match, norms=norms, least=1)
        return np.mean([abs(h.head - {0: 0, 2: 7}[h.layer]) for s in sets for h in s])

    assert distance("layer_norm") < 2.3 < 3.5 < distance("layer")


def test_too_few_free_heads_in_the_layer_or_in_the_model():
    chosen = HeadSet([Head(0, h) for h in range(6)])
    for drawn in random_sets(chosen, SHAPE, 5, "layer"):
        assert len(drawn) == 6
        assert not drawn & chosen
        assert drawn.reason == "random, at most 1 layer away"
    assert random_sets(chosen, (1, 8), 5) == []


def test_an_empty_set_has_no_control():
    assert random_sets(HeadSet(), SHAPE, 3) == []


def test_the_least_important_are_the_last():
    ranking = [Head(0, 2), Head(0, 1), Head(0, 0)]
    assert set(least_important(ranking, 2)) == {Head(0, 0), Head(0, 1)}
    assert len(least_important(ranking, 0)) == 0


def test_sets_of_another_tower_are_of_that_tower():
    sets = random_sets(HeadSet("V0.H1 V2.H3"), (3, 4), 5)
    assert {head.tower for one in sets for head in one} == {"V"}
    with pytest.raises(HeadAtlasError, match="heads must be of one tower, got heads of L, V"):
        random_sets(HeadSet("V0.H1 L0.H1"), (3, 4), 5)


def test_mistakes_are_one_line():
    with pytest.raises(HeadAtlasError, match="got 'depth'"):
        random_sets(CHOSEN, SHAPE, 1, "depth")
    with pytest.raises(HeadAtlasError, match="needs norms"):
        random_sets(CHOSEN, SHAPE, 1, "layer_norm")
    with pytest.raises(HeadAtlasError, match=r"L3\.H2 lies outside"):
        random_sets(CHOSEN, (2, 8), 1)
    with pytest.raises(HeadAtlasError, match="at most the 1"):
        least_important([Head(0, 0)], 2)
