"""The weights that lie in the package."""

import pytest

from headatlas.cogvsr.scenes.build import symbolic
from headatlas.errors import HeadAtlasError
from headatlas.vlm import evaluate, load_vlm
from headatlas.vlm.reference import names, path


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(HeadAtlasError, match="ref-llava"):
        path("ref-lava")


def test_ref_llava_is_small_and_answers():
    assert "ref-llava" in names()
    folder = path("ref-llava")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8e6
    assert (folder / "README.md").exists()
    vlm = load_vlm("ref-llava")
    assert vlm.heads.shape == (6, 8)
    answers = evaluate(vlm, [made.rendered() for made in symbolic(60, "E", 77)])
    by_function = answers.groupby("function")["correct"].mean()
    # What it cannot do yet, finding things by name, stands in its card; this guards what it can.
    for function in ("information_extraction", "knowledge_recall", "math_reasoning", "decision_making"):
        assert by_function[function] > 0.85, by_function
    assert not answers["unparsable"].any()
