import pytest

from headatlas.importing.choices import asked, split_options
from headatlas.importing.draft import Unusable


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("Which?\n(A) train\n(B) street lights", "Which?", ["train", "street lights"]),
        ("Left or right?\n(a) Left (b) Right", "Left or right?", ["Left", "Right"]),
        ("Which? Select from the following options.\nA: Point A\nB: Point B\n\nWhich one?", "Which?", ["Point A", "Point B"]),
        ("Where?\nOptions: A. back-left, B. front-right, C. left", "Where?", ["back-left", "front-right", "left"]),
        ("How many? Select from the following choices.\n(A) 2\n(B) 0", "How many?", ["2", "0"]),
        ("Turns?\nAvailable options:\nA. 1\nB. 2", "Turns?", ["1", "2"]),
        ("Where? Available options:\nA. Northeast\nB. Southeast.", "Where?", ["Northeast", "Southeast"]),
        ("Where?\nA. On it.\nB. Under it.", "Where?", ["On it.", "Under it."]),
        ("Is (A) good?", "Is (A) good?", []),
        ("I saw A. Then B. left.", "I saw A. Then B. left.", None),
        ("No options here", "No options here", []),
    ],
)  # fmt: skip
def test_options_are_taken_out_of_a_question(text, stem, options):
    rest, found = split_options(text)
    if options is None:
        return
    assert rest == stem
    assert list(found.values()) == options
    assert list(found) == ["A", "B", "C", "D"][: len(options)]


@pytest.mark.parametrize("answer", ["B", "(B)", "(b)", "b.", "B. right", "(B) right", "right", "Right", "B: right"])
def test_an_answer_is_found_whatever_its_dress(answer):
    one = asked("Where?", answer, ["left", "right"])
    assert (one.text, one.answer, one.answer_type) == ("Where?\nChoose one: left, right.", "right", "choice")


@pytest.mark.parametrize("answer", ["C", "(D) up", "up", "B. left", ""])
def test_an_answer_that_is_none_of_them_is_refused(answer):
    with pytest.raises(Unusable, match="answer"):
        asked("Where?", answer, ["left", "right"])


def test_kinds_of_answers():
    assert asked("Is it? Answer with Yes or No.", "No").answer_type == "yes_no"
    assert asked("Is it? Answer with Yes or No.", "No").text == "Is it?"
    assert asked("Is it?", "A", ["Yes", "No"]).answer == "yes"
    depth = asked("How deep is it, measured in meters?", "1.51 meters")
    assert (depth.answer, depth.answer_type, depth.text) == ("1.51", "number", "How deep is it, measured in meters?")
    assert asked("How long?", "3 cm").text == "How long? Answer in cm."
    assert asked("What is it?", "a dog").answer_type == "text"
    assert asked("Which?", "B", ["a, b", "c"]).text == "Which?\nChoose one: a, b; c."
    with pytest.raises(Unusable, match="two options are equal"):
        asked("Which?", "A", ["up", "Up"])
    with pytest.raises(Unusable, match="option is empty"):
        asked("Which?", "A", ["up", ""])
