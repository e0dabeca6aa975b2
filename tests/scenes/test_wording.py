import random
import re
from itertools import chain

import pytest

from headatlas.cogvsr import load
from headatlas.errors import HeadAtlasError
from headatlas.scenes import phrases, wording
from headatlas.scenes.build import symbolic
from headatlas.scenes.question_types.base import _articles
from headatlas.scenes.wording import question_slots, reword, step_slots

TABLES = (
    (wording.STEPS, {kind: known.phrases for kind, known in phrases.KINDS.items()}),
    (wording.QUESTIONS, phrases.QUESTIONS),
)
KEYS = [(rewordings[key], templates[key]) for rewordings, templates in TABLES for key in templates]


@pytest.fixture(scope="module")
def asked():
    return [made for split in ("train", "E") for made in symbolic(200, split, 11)]


def _slots(text):
    return sorted(re.findall(r"\{(\w+)\}", text))


def _plain(text):
    """Without slots' names, capitals and punctuation."""
    return " ".join(re.findall(r"\w+", re.sub(r"\{\w+\}", "slot", text).lower()))


def test_every_kind_and_question_has_its_wordings():
    for rewordings, templates in TABLES:
        assert rewordings.keys() == templates.keys()
    assert {(len(new.train), len(new.held_out)) for new in wording.STEPS.values()} == {(6, 3)}
    assert {(len(new.train), len(new.held_out)) for new in wording.QUESTIONS.values()} == {(4, 2)}


def test_wordings_have_the_slots_of_the_templates():
    for new, templates in KEYS:
        expected = {slot for template in templates for slot in _slots(template)}
        for text in new.train + new.held_out:
            assert set(_slots(text)) == expected, text


def test_no_wording_is_used_twice_or_is_a_template():
    texts = list(chain.from_iterable(new.train + new.held_out for new, _ in KEYS))
    assert len({_plain(text) for text in texts}) == len(texts)
    templates = {_plain(template) for _, templates in KEYS for template in templates}
    assert not templates & {_plain(text) for text in texts}


def test_wordings_are_sentences():
    for new, _ in KEYS:
        for text in new.train + new.held_out:
            assert text[0].isupper(), text
            assert text[-1] in ".?", text


@pytest.mark.parametrize("which", ["train", "held_out"])
def test_answers_about_the_order_of_names_follow_the_new_words(asked, which):
    rng, seen = random.Random(1), 0
    for made in asked:
        new = reword(made.question, rng, which)
        names = [name for name in (made.case.a, made.case.b, made.case.c) if name and name in new.text]
        names.sort(key=new.text.index)
        for step in new.steps:
            if step.kind in ("asked_first", "asked_second"):
                assert step.answer == names[step.kind == "asked_second"]
                seen += 1
    assert seen > 50


def test_slots_are_recovered_exactly(asked):
    for made in asked:
        question, case = made.question, made.case
        key, slots = question_slots(question.family, question.text)
        assert question.text in {template.format(**slots) for template in phrases.QUESTIONS[key]}
        values = {"a": case.a, "b": case.b, "c": case.c, **case.slots}
        assert slots == {slot: values[slot] for slot in slots}
        for step in question.steps:
            slots = step_slots(step.kind, step.text)
            made_by = [
                template
                for template in phrases.KINDS[step.kind].phrases
                for opener in set(phrases.OPENERS)
                if opener + _articles(template.format(**slots)) == step.text
            ]
            assert len(made_by) == 1, step.text


@pytest.mark.parametrize("which", ["train", "held_out"])
def test_reword_changes_the_words_only(asked, which):
    rng = random.Random(0)
    for made in asked:
        question = made.question
        new = reword(question, rng, which)
        assert new.text != question.text
        assert all(a.text != b.text for a, b in zip(new.steps, question.steps, strict=True))
        for a, b in zip(question.steps, new.steps, strict=True):
            assert a.answer == b.answer or a.kind in ("asked_first", "asked_second")
        back = [
            b.model_copy(update={"text": a.text, "answer": a.answer})
            for a, b in zip(question.steps, new.steps, strict=True)
        ]
        assert new.model_copy(update={"text": question.text, "steps": tuple(back)}) == question


def test_reword_says_the_same_things(asked):
    """Names and other values of the original text are in the new one, with the right article."""
    rng = random.Random(0)
    for made in asked:
        for step, new in zip(made.question.steps, reword(made.question, rng, "held_out").steps, strict=True):
            for value in step_slots(step.kind, step.text).values():
                assert value in new.text
            assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|[{}]", new.text), new.text


def test_reword_draws_from_its_own_table(asked):
    seen = {"train": set(), "held_out": set()}
    for which, texts in seen.items():
        for made in asked:
            new = reword(made.question, random.Random(made.question.id), which)
            texts.update(text.text for text in (new, *new.steps))
    assert not seen["train"] & seen["held_out"]


def test_reword_is_deterministic(asked):
    question = asked[0].question
    texts = {str([step.text for step in reword(question, random.Random(7), "train").steps]) for _ in range(5)}
    assert len(texts) == 1
    others = {reword(question, random.Random(seed), "train").text for seed in range(50)}
    assert len(others) == 4


def test_a_text_that_no_template_makes_is_refused(asked):
    question = asked[0].question
    with pytest.raises(HeadAtlasError, match="template of the question type"):
        reword(question.model_copy(update={"text": "Who is there?"}), random.Random(0), "train")
    once = reword(question, random.Random(0), "train")
    with pytest.raises(HeadAtlasError, match="template of the question type"):
        reword(once, random.Random(0), "train")
    with pytest.raises(HeadAtlasError, match="template of the step kind"):
        reword(once.model_copy(update={"text": question.text}), random.Random(0), "train")
    with pytest.raises(HeadAtlasError, match="template of the step kind 'column_of'"):
        step_slots("column_of", "which column is the pink whale in?")
    with pytest.raises(HeadAtlasError, match="kind must be one of"):
        step_slots("", "which column is the red dog in?")
    with pytest.raises(HeadAtlasError, match="which must be"):
        reword(question, random.Random(0), "test")


def test_scenes_in_english_are_a_source():
    """The pictures, steps and answers of `scenes`; held-out wordings in split E only."""
    english, plain = (load(name, n=60, seed=3) for name in ("scenes-english", "scenes"))
    assert english.fingerprint == load("scenes-english", n=60, seed=3).fingerprint != plain.fingerprint
    held_out = {
        split: sum(_is_held_out(step) for question in english if question.split == split for step in question.steps)
        for split in "PSTE"
    }
    assert held_out["E"] > 20
    assert held_out["P"] == held_out["S"] == held_out["T"] == 0
    for new, old in zip(english, plain, strict=True):
        assert (new.source, new.id, new.answer, new.scene) == ("scenes-english", old.id, old.answer, old.scene)
        assert new.images[0].tobytes() == old.images[0].tobytes()
        assert [step.function for step in new.steps] == [step.function for step in old.steps]
        assert new.text != old.text
    with pytest.raises(HeadAtlasError, match="splits must be one or more of"):
        load("scenes-english", n=4, splits=("Q",))


def _is_held_out(step):
    texts = [re.escape(text) for text in wording.STEPS[step.kind].held_out]
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", text.replace(r"\ a\ ", r"\ an?\ ")) for text in texts]
    return any(re.fullmatch(pattern, step.text, re.IGNORECASE) for pattern in patterns)
