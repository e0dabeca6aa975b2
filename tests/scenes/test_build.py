"""Questions are deterministic, balanced, disjoint over splits, and their minimal pairs differ in one thing."""

import random
import re
from collections import Counter

import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scenes import QUESTION_TYPES, build, minimal_pairs, symbolic
from headatlas.scenes.build import ask_all, split_sizes
from headatlas.scenes.world import Scene, Thing

MANY = 60 * 15


@pytest.fixture(scope="module")
def made():
    return list(symbolic(MANY, "P", 0))


def test_the_same_seed_makes_the_same_questions_and_pixels():
    first, second = (list(build(8, seed=3)) for _ in range(2))
    assert [q.model_dump(exclude={"images"}) for q in first] == [q.model_dump(exclude={"images"}) for q in second]
    assert all(a.images[0].tobytes() == b.images[0].tobytes() for a, b in zip(first, second, strict=True))


def test_another_seed_makes_other_questions():
    assert [q.question.text for q in symbolic(15, "P", 0)] != [q.question.text for q in symbolic(15, "P", 1)]


def test_splits_share_no_scene():
    scenes = {split: {made.scene for made in symbolic(200, split, 0)} for split in ("train", "P", "S", "T", "E")}
    for one, two in [("train", "E"), ("P", "S"), ("P", "E"), ("S", "E"), ("T", "E"), ("train", "P")]:
        assert not scenes[one] & scenes[two]


def test_fifteen_question_types_in_equal_numbers(made):
    counts = Counter(m.question.family for m in made)
    assert len(QUESTION_TYPES) == 15
    assert set(counts.values()) == {MANY // 15}


def test_every_question_type_answers_evenly(made):
    for name, question_type in QUESTION_TYPES.items():
        places = Counter()
        for m in made:
            if m.question.family == name:
                wants = question_type.wants(m.case)
                places[len(wants), wants.index(m.question.answer)] += 1
        for options in {o for o, _ in places}:
            counts = [places[options, i] for i in range(options)]
            if sum(counts) >= 50:  # a type whose wording varies splits its questions: those few are even by chance only
                assert max(counts) - min(counts) <= 0.25 * sum(counts), (name, places)
            assert min(counts) > 0, (name, places)


def test_steps_are_three_to_nine_and_use_all_functions_in_shares_near_cogvsr(made):
    steps = [step for m in made for step in m.question.steps]
    shares = {f: c / len(steps) for f, c in Counter(s.function for s in steps).items()}
    assert set(shares) == set(FUNCTIONS)
    assert all(3 <= len(m.question.steps) <= 9 for m in made)
    assert shares["spatial_perception"] == pytest.approx(0.2729, abs=0.04)
    assert shares["relational_reasoning"] == pytest.approx(0.1532, abs=0.03)
    assert min(shares.values()) > 0.04


def test_answer_words_are_shared_across_functions():
    functions = {}
    for m in symbolic(MANY, "E", 0):
        for step in m.question.steps:
            functions.setdefault(step.answer, set()).add(step.function)
    assert {
        "spatial_perception",
        "relational_reasoning",
        "knowledge_recall",
        "information_extraction",
        "decision_making",
    } <= functions["left"]
    assert len(functions["yes"]) >= 6
    assert len(functions["3"]) >= 4


def test_held_out_phrasings_appear_in_e_only():
    said = {
        split: {s.text for m in symbolic(200, split, 0) for s in m.question.steps} for split in ("P", "S", "T", "E")
    }
    held_out = {text for text in said["E"] if "say if there is" in text or "say the answer you settle on" in text}
    assert held_out
    for split in ("P", "S", "T"):
        assert not any("say if there is" in text or "you settle on" in text for text in said[split])


def test_no_step_tells_the_answer_of_an_earlier_number(made):
    for m in made:
        for step in m.question.steps:
            if step.function == "math_reasoning":
                assert not any(char.isdigit() for char in step.text), step.text


def test_things_are_asked_for_in_the_order_of_the_words(made):
    """Templates such as "is b between a and c?" name the things in another order than the case does."""
    seen, unlike = 0, 0
    for m in made:
        text = m.question.text
        names = sorted((n for n in (m.case.a, m.case.b, m.case.c) if n and n in text), key=text.index)
        for step in m.question.steps:
            if step.kind in ("asked_first", "asked_second"):
                second = step.kind == "asked_second"
                assert step.answer == names[second], text
                seen += 1
                unlike += step.answer != (m.case.b if second else m.case.a)
    assert seen > 200
    assert unlike > 20


def test_mirrored_pairs_change_the_answer_and_nothing_else_in_the_words(made):
    found = 0
    for m in made[:300]:
        for pair in minimal_pairs(m):
            q = pair.question
            assert q.pair == m.question.id
            assert q.answer != m.question.answer
            assert q.split == m.question.split
            assert q.scene == m.question.scene
            if q.pair_kind == "mirror":
                found += 1
                assert q.text == m.question.text
                assert pair.scene == m.scene.mirrored()
            else:
                assert pair.scene == m.scene
                assert sorted(re.findall(r"\w+", q.text)) == sorted(re.findall(r"\w+", m.question.text))
    assert found > 20


def test_rendered_objects_say_how_much_of_them_is_visible():
    question = next(symbolic(1, "P", 5)).rendered()
    assert question.images[0].size == (384, 384)
    assert all(0.3 < thing.visible <= 1 for thing in question.objects)


def test_split_sizes_add_up_and_bad_input_is_told():
    assert sum(split_sizes(801).values()) == 801
    with pytest.raises(HeadAtlasError, match="n=2"):
        split_sizes(2)
    with pytest.raises(HeadAtlasError, match="splits must be one or more of P, S, T, E, got 'X'"):
        split_sizes(10, ("X",))
    with pytest.raises(HeadAtlasError, match=r"question type must be one of .*; got 'chess'"):
        list(symbolic(1, "P", 0, question_types=["chess"]))


def test_scenes_with_few_things_can_be_asked_about():
    dog, star = Thing("dog", "red", "plain", "large", 2, 5, 0, "left"), Thing("star", "blue", "plain", "small", 2, 1, 0)
    for seed in range(20):
        assert ask_all(Scene((dog,), "snow"), random.Random(seed), "P") == []
        for question in ask_all(Scene((dog, star), "snow"), random.Random(seed), "P"):
            assert question.steps[-1].answer == question.answer
