"""The weights that lie in the package."""

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.reference import names, path
from headatlas.scenes.build import symbolic
from headatlas.vlm import evaluate, load_vlm

OTHERS = (
    "low_level_perception",
    "high_level_perception",
    "information_extraction",
    "knowledge_recall",
    "math_reasoning",
    "decision_making",
)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(HeadAtlasError, match="ref-llava"):
        path("ref-lava")


@pytest.mark.parametrize("name", names())
def test_every_shipped_model_is_small_and_has_its_card(name):
    folder = path(name)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8e6
    assert f"# {name}\n" in (folder / "README.md").read_text()
    assert (folder / "figures.csv").exists()


@pytest.mark.parametrize("name", names())
def test_every_shipped_model_sees(name):
    vlm = load_vlm(name)
    questions = [made.rendered() for made in symbolic(40, "E", 78)]
    of_space = [
        answers.loc[answers["function"] == "spatial_perception", "correct"].mean()
        for answers in (evaluate(vlm, questions), evaluate(vlm, questions, arm=lambda question: ((), "")))
    ]
    assert of_space[0] > of_space[1] + 0.4


def test_ref_llava_answers_as_it_was_made_to():
    vlm = load_vlm("ref-llava")
    assert vlm.heads.shape == (6, 8)
    questions = [made.rendered() for made in symbolic(60, "E", 77)]
    answers = evaluate(vlm, questions)
    by_function = answers.groupby("function")["correct"].mean()
    # The aims the model was trained for; on 600 questions it is above them (its card), here are few and so some slack.
    aims = {"spatial_perception": 0.85, "relational_reasoning": 0.8} | dict.fromkeys(OTHERS, 0.9)
    for function, aim in aims.items():
        assert by_function[function] > aim - 0.07, by_function
    assert answers.loc[answers["step"] == answers["n_steps"] - 1, "correct"].mean() > 0.9
    assert not answers["unparsable"].any()
