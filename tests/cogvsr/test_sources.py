import pytest

from headatlas.cogvsr import load
from headatlas.cogvsr.sources import SOURCES
from headatlas.errors import HeadAtlasError


def test_pairs_follow_their_questions_and_differ_in_the_answer():
    data = load("scenes-pairs", n=15, seed=0)
    questions = {q.id: q for q in data.without_images()}
    pairs = [q for q in questions.values() if q.pair]
    assert pairs
    assert len(questions) - len(pairs) == 15
    for pair in pairs:
        first = questions[pair.pair]
        assert pair.answer != first.answer
        assert (pair.split, pair.scene, pair.family) == (first.split, first.scene, first.family)


def test_a_source_that_gives_other_things_is_named():
    SOURCES.add("mine", lambda n, seed, splits: [{"id": "1"}])  # type: ignore[arg-type, list-item]
    try:
        with pytest.raises(HeadAtlasError, match="source 'mine' must give Question records, got a dict"):
            load("mine")
    finally:
        SOURCES.remove("mine")


def test_an_unknown_split_is_named():
    with pytest.raises(HeadAtlasError, match="splits must be one or more of P, S, T, E, got 'X'"):
        load("scenes", n=10, splits=("P", "X"))
