import numpy as np
import pytest
from scipy.stats import false_discovery_control

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.scoring.select import SELECTORS, ranking, rejected, select, selector, selectors

SPATIAL = "spatial_perception"


def values(*first):
    """Scores of 8 functions on 2 x 5 heads; the first function has `first` and then zeros."""
    out = np.zeros((8, 2, 5))
    out[0].ravel()[: len(first)] = first
    return out


def test_ranking_is_by_signed_score(scores_of):
    scores = scores_of(values(0.1, -5, 3))
    assert ranking(scores, SPATIAL)[:2] == [Head(0, 2), Head(0, 0)]
    assert ranking(scores, SPATIAL)[-1] == Head(0, 1)


def test_null_is_bh_over_heads_and_functions(scores_of):
    rng = np.random.default_rng(0)
    p = rng.random((8, 2, 5)) ** 6
    scores = scores_of(np.ones((8, 2, 5)), pvalues=p)
    assert (rejected(scores) == (false_discovery_control(p.ravel()) <= 0.05).reshape(p.shape)).all()
    assert 0 < rejected(scores).sum() < p.size
    assert len(select(scores, SPATIAL)) == rejected(scores)[0].sum()


def test_null_leaves_out_negative_scores(scores_of):
    p = np.ones((8, 2, 5))
    p[0, 0, :2] = 1e-6
    assert select(scores_of(values(-1.0, 1.0), pvalues=p), SPATIAL) == HeadSet([Head(0, 1)])


def test_empty_sets_say_why(scores_of):
    none = scores_of(values(1.0), pvalues=np.full((8, 2, 5), 0.4), null=np.zeros((2, 8, 2, 5)))
    found = select(none, SPATIAL)
    assert not found
    assert "no head beats the null" in found.reason
    assert "which is too large for a single head: raise n_null" in found.reason
    assert "which is too large for a single head: raise n_null" in select(none, SPATIAL, "functional").reason
    stuck = scores_of(values(1.0), pvalues=np.ones((8, 2, 5)), info={"movable": [0.0] * 8})
    assert "exchanging labels cannot move them" in select(stuck, SPATIAL).reason
    absent = scores_of(values(), info={"absent": [SPATIAL]})
    assert "none or all of the steps scored need this function" in select(absent, SPATIAL, "top_k").reason
    assert "no score is above 0.001 (highest 0)" in select(scores_of(values()), SPATIAL, "threshold").reason
    assert "the same score" in select(scores_of(values()), SPATIAL, "elbow").reason


def test_compat_selectors(scores_of):
    scores = scores_of(values(9, 8, 0.5, 0.4, 0.3, 0.2, 0.1))
    assert select(scores, SPATIAL, "elbow") == HeadSet([Head(0, 0), Head(0, 1)])
    assert list(select(scores, SPATIAL, "top_k", k=3)) == [Head(0, 0), Head(0, 1), Head(0, 2)]
    assert len(select(scores, SPATIAL, "top_share", share=0.4)) == 4
    assert len(select(scores, SPATIAL, "threshold")) == 7
    assert len(select(scores, SPATIAL, "threshold", above=1.0)) == 2


def test_an_elbow_finds_heads_in_noise_and_the_null_does_not(noise_scores):
    for scores in noise_scores.values():
        elbow = [len(select(scores, function, "elbow")) for function in FUNCTIONS]
        null = [len(select(scores, function)) for function in FUNCTIONS]
        assert min(elbow) >= 1
        assert sum(elbow) >= 16
        assert sum(null) <= 2


def test_registry_and_mistakes(scores_of):
    scores = scores_of(values(1.0))
    assert set(selectors()) >= {"null", "elbow", "top_k", "top_share", "threshold"}

    @selector("first")
    def first(scores, function):
        return HeadSet(ranking(scores, function)[:1])

    assert len(select(scores, SPATIAL, "first")) == 1
    SELECTORS.remove("first")
    without = select(scores, SPATIAL)
    assert not without
    assert "needs p-values, and scorer" in without.reason
    for name, options, message in (
        ("nul", {}, "selector must be one of .*got 'nul', did you mean 'null'"),
        ("top_k", {"k": 99}, "k must be in 1..10 heads, got 99"),
        ("top_share", {"share": 0.0}, "share must be > 0"),
        ("top_k", {"n": 3}, "selector 'top_k'"),
    ):
        with pytest.raises(HeadAtlasError, match=message):
            select(scores, SPATIAL, name, **options)
    with pytest.raises(HeadAtlasError, match="cognitive function must be one of"):
        select(scores, "smell")


def test_a_selector_may_give_any_heads(scores_of):
    from headatlas.scoring import SELECTORS, selector

    @selector("first_two")
    def first_two(scores, function):
        return ["L0.H0", (1, 2)]

    try:
        assert select(scores_of(values()), SPATIAL, "first_two") == HeadSet([Head(0, 0), Head(1, 2)])
    finally:
        SELECTORS.remove("first_two")
