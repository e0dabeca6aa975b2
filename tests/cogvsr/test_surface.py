from __future__ import annotations

import random

import pandas as pd
import pytest

from headatlas.cogvsr.schema import Question, Step
from headatlas.cogvsr.surface import COLUMNS, answer_without_image, function_from_text
from headatlas.errors import HeadAtlasError

THINGS = ("dog", "fish", "car", "arrow", "star")


def steps(n: int, seed: int, leak: bool) -> pd.DataFrame:
    """Steps of two functions; with `leak` the wording reveals the function, otherwise nothing does."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        function = rng.choice(("spatial_perception", "relational_reasoning"))
        verb = {"spatial_perception": "locate", "relational_reasoning": "relate"}[function] if leak else "find"
        text = f"now {verb} the {rng.choice(THINGS)}"
        rows.append(
            {"text_of_step": text, "gold": rng.choice(("left", "right")), "function": function, "scene": f"s{i // 2}"}
        )
    return pd.DataFrame(rows)


def question(i: int, family: str, text: str, answer: str, options: tuple[str, ...]) -> Question:
    step = Step(text="so?", answer=answer, answer_type="choice", functions=("decision_making",))
    return Question(
        id=f"{family}{i}", source="hand", split="E", family=family, scene=f"s{i}", text=text, options=options,
        answer=answer, answer_type="choice", steps=(step,),
    )  # fmt: skip


def questions(n: int, seed: int) -> list[Question]:
    """Four families: fair, revealed by a word, always the first one named, always the same answer."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        a, b = rng.sample(THINGS, 2)
        side = rng.choice(("left", "right"))
        made.append(question(i, "fair", f"on which side of the {a} is the {b}?", side, ("left", "right")))
        odd = {"left": "really", "right": "truly"}[side]
        made.append(question(i, "told", f"on which side {odd} is the {a}?", side, ("left", "right")))
        made.append(question(i, "first", f"which is nearer, the {a} or the {b}?", a, tuple(sorted((a, b)))))
        made.append(question(i, "constant", f"is there a {a}?", "yes", ("yes", "no")))
    return made


def test_words_that_tell_the_function_are_found():
    table = function_from_text(steps(120, 0, leak=True), steps(80, 1, leak=True))
    assert list(table.columns) == COLUMNS
    assert list(table["group"]) == ["all", "macro", "spatial_perception", "relational_reasoning"]
    assert (table["accuracy"] == 1).all()
    assert set(table["what"]) == {"function_of_step"}


def test_words_that_do_not_tell_stay_near_chance():
    table = function_from_text(steps(400, 0, leak=False), steps(400, 1, leak=False)).set_index("group")
    assert table.loc["macro", "chance"] == 0.5
    assert table.loc["macro", "low"] < 0.5 + 0.03
    assert abs(table.loc["all", "accuracy"] - 0.5) < 0.08
    assert table.loc["all", "n"] == 400


def test_the_answer_word_counts_as_a_word_of_its_own():
    fit, test = steps(100, 0, leak=False), steps(60, 1, leak=False)
    for part in (fit, test):
        part["gold"] = part["function"].map({"spatial_perception": "-2", "relational_reasoning": "left"})
    assert function_from_text(fit, test).iloc[0]["accuracy"] == 1


def test_answers_are_guessed_only_where_the_words_tell_them():
    table = answer_without_image(questions(150, 0), questions(150, 1)).set_index("group")
    assert list(table.index) == ["fair", "told", "first", "constant", "all"]
    assert table.loc["fair", "low"] < 0.53
    assert table.loc["fair", "chance"] == pytest.approx(0.5, abs=0.12)
    assert table.loc["told", "accuracy"] == 1
    assert table.loc["first", "accuracy"] == 1
    assert table.loc["first", "chance"] == 1  # always the first: a constant guess is enough
    assert table.loc["constant", "chance"] == table.loc["constant", "accuracy"] == 1
    assert table.loc["all", "n"] == 600
    assert (table["low"] < table["accuracy"]).all()


def test_it_is_deterministic():
    one, two = (answer_without_image(questions(60, 0), questions(60, 1)) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_bad_input_is_named():
    with pytest.raises(HeadAtlasError, match="text_of_step"):
        function_from_text(pd.DataFrame({"gold": ["x"]}), steps(3, 0, leak=True))
    with pytest.raises(HeadAtlasError, match="in common, got none"):
        answer_without_image(questions(3, 0)[:1], questions(3, 0)[1:2])


def test_chance_knows_the_possible_answers():
    colors, sides = ("red", "blue"), ("left", "right")
    made = [
        question(i, "mixed", "of which colour?" if i % 2 else "on which side?", options[i // 2 % 2], options)
        for i, options in ((i, colors if i % 2 else sides) for i in range(80))
    ]
    row = answer_without_image(made[:40], made[40:]).iloc[0]
    assert row["chance"] == pytest.approx(0.5)
    assert row["accuracy"] <= 0.6
