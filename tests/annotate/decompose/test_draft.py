import pytest
from pydantic import ValidationError

from headatlas.annotate.decompose.draft import Draft, to_steps
from headatlas.annotate.llm.structured import strict_schema
from headatlas.cogvsr import FUNCTIONS, Question, Step


def main(answer="yes", kind="yes_no", options=()):
    last = Step(text="So?", answer=answer, answer_type=kind, functions=("decision_making",), options=options)
    return Question(
        id="q", source="s", split="E", text="?!", answer=answer, answer_type=kind, options=options, steps=(last,)
    )


def proposed(**changes):
    return {
        "question": "Where?",
        "answer": "left",
        "answer_type": "text",
        "functions": ["spatial_perception"],
        **changes,
    }


LAST = proposed(question="So?", answer="Yes.", answer_type="yes_no")


def made(step, last=LAST, question=None):
    return to_steps(Draft.model_validate({"steps": [step, last]}), question or main())


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"answer": 3, "answer_type": "number"}, "3"),
        ({"answer": "There are three.", "answer_type": "number"}, "3"),
        ({"answer": True, "answer_type": "yes_no"}, "yes"),
        ({"answer": "No, it is not.", "answer_type": "yes_no"}, "no"),
        ({"answer": "B", "answer_type": "choice", "options": ["left", "right"]}, "right"),
        ({"answer": "on top of it", "answer_type": "choice", "options": ["above", "below"]}, "above"),
        ({"answer": "  the   red\ncar "}, "the red car"),
        ({"answer": "the\0car\0"}, "the car"),
    ],
)
def test_answers_are_normalised(changes, answer):
    steps, faults = made(proposed(**changes))
    assert faults == []
    assert steps[0].answer == answer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "left", "answer_type": "yes_no"}, "answer must be yes/no"),
        ({"answer": "many", "answer_type": "number"}, "answer must be number"),
        ({"answer": "up", "answer_type": "choice", "options": ["left", "right"]}, "one of its options"),
        ({"answer": "left", "answer_type": "choice", "options": ["left", "left", ""]}, "at least two options"),
        ({"answer": ""}, "1 to 12 words"),
        ({"answer": "word " * 30}, "1 to 12 words"),
        ({"question": ""}, "1 to 400 characters"),
        ({"question": "x" * 500}, "1 to 400 characters"),
        ({"functions": []}, "one to three functions"),
        ({"functions": list(FUNCTIONS)}, "one to three functions"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_with_its_number(changes, said):
    steps, faults = made(proposed(**changes))
    assert len(steps) == 1
    assert faults[0].startswith("step 1: ")
    assert said in faults[0]


def test_functions_may_be_written_as_people_write_them():
    steps, _ = made(proposed(functions=["Spatial Perception", "low-level visual perception", "spatial_perception"]))
    assert steps[0].functions == ("spatial_perception", "low_level_perception")
    with pytest.raises(ValidationError, match="cognitive function must be one of"):
        Draft.model_validate({"steps": [proposed(functions=["telepathy"])]})


def test_the_last_step_takes_the_main_answer_as_it_is_written():
    options = ("to the left", "to the right")
    question = main("to the left", "choice", options)
    for said in ("left", "A", "(a) to the left", "To the left."):
        steps, faults = made(proposed(), proposed(question="So?", answer=said, answer_type="text"), question)
        assert faults == []
        assert (steps[-1].answer, steps[-1].answer_type, steps[-1].options) == ("to the left", "choice", options)
    _, faults = made(proposed(), proposed(question="So?", answer="right"), question)
    assert faults == ["step 2: the last step's answer must be the main question's answer 'to the left', got 'right'"]


def test_a_bare_list_is_a_draft_and_the_schema_names_the_eight():
    assert len(Draft.model_validate([LAST]).steps) == 1
    schema = strict_schema(Draft)["$defs"]["DraftStep"]
    assert schema["properties"]["functions"]["items"]["enum"] == list(FUNCTIONS)
    assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize("steps", [65, 100_000])
@pytest.mark.parametrize("bare", [True, False])
def test_a_chain_without_end_is_refused_before_it_is_checked(steps, bare):
    with pytest.raises(ValidationError, match=f"number of steps must be at most 64, got {steps}"):
        Draft.model_validate([LAST] * steps if bare else {"steps": [LAST] * steps})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "x" * 1_000_000}, "1 to 12 words"),
        ({"question": "x" * 1_000_000}, "1 to 400 characters"),
        ({"answer_type": "choice", "answer": "a", "options": ["a", "y" * 1000]}, "at most 400 characters"),
        ({"answer_type": "choice", "answer": "1", "options": list(range(100_000))}, "at most 26 options"),
    ],
)
def test_endless_texts_and_options_are_faults(changes, said):
    steps, faults = made(proposed(**changes))
    assert len(steps) == len(faults) == 1
    assert said in faults[0]
