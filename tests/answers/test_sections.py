"""The parts of a reply: headings, explanations, and turns that the model invented."""

import pytest

from headatlas.answers import matches, parse

LR = ("left", "right")
Q = ("red cube", "blue ball", "green cone")


@pytest.mark.parametrize(
    ("reply", "kind", "options", "answer"),
    [
        ("B\n\nQuestion: is the cat left?\nAnswer: left", "choice", LR, "right"),
        ("3\n\nQuestion: How many cats?\nAnswer: 5", "number", (), "3"),
        (
            "There are 3 dogs here.\n\nQuestion: How many cats?\nAnswer: 5",
            "number",
            (),
            None,
        ),  # or the question, repeated
        ("I see dogs.\n\nQuestion: How many dogs?\nAnswer: 5", "number", (), "5"),
        ("Yes\n\nQ: Is the cat behind the dog?\nA: No", "yes_no", (), "yes"),
        ("red\n\nQuestion: What colour is the ball?\nAnswer: blue", "text", (), "red"),
        ("left\nUSER: And the cat?\nASSISTANT: right", "choice", LR, "left"),
        ("left\nHuman\nand the cat? right", "choice", LR, "left"),
    ],
)
def test_a_turn_that_the_model_invented_is_not_its_answer(reply, kind, options, answer):
    assert parse(reply, kind, options) == answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("### Answer\nright\n\n### Explanation\nThe cat sits left of it.", "right"),
        ("**Final Answer**\n\nB", "right"),
        ("The correct answer\n\nleft", "left"),
        ("B\n\n**Reasoning**: the cat is to the left.", "right"),
        ("A\n\nNote: from the dog's view it would be right.", "left"),
        ("B\nExplanation: no, that is not it.\nFinal answer: A", "left"),
        ("Explanation: the cat sits to the left.\n\nAnswer: right", "right"),
    ],
)
def test_headings_and_explanations(reply, answer):
    assert parse(reply, "choice", LR) == answer


def test_a_heading_is_no_answer_in_free_text():
    assert parse("### Answer\nred\n\n### Explanation\nBecause it looks so", "text") == "red"
    assert matches("**Answer**\n\nred", "red", "text")


def test_an_explanation_that_names_other_options_takes_nothing_back():
    assert parse("**C**\n\n**Reasoning**: the red cube is behind the blue ball.", "choice", Q) == "green cone"
