"""A full study of a user's own questions runs to its report, whatever functions they name."""

import json

import pytest

import headatlas as ha
from headatlas.study import make_settings, open_study, run_stages

KINDS = {
    "one task": (("spatial_perception",), False),
    "no spatial function": (("low_level_perception", "high_level_perception"), True),
    "one spatial function": (("spatial_perception",), True),
    "single steps of several functions": (ha.cogvsr.FUNCTIONS, True),
}


def questions(kind):
    """Twelve pictures, each with one question, which is one step of a scene's question."""
    functions, named = KINDS[kind]
    rows = []
    for question in ha.cogvsr.load("scenes", n=48, seed=9):
        wanted = functions[len(rows) % len(functions)]
        step = next((s for s in question.steps if s.function == wanted), None)
        if step is None or len(rows) == 12:
            continue
        row = {"image": question.images[0], "question": step.text, "answer": step.answer}
        rows.append(row | ({"function": step.function} if named else {}))
    return ha.cogvsr.from_rows(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_study_of_own_questions_ends_with_a_report(kind, tmp_path):
    questions(kind).save(tmp_path / "data")
    settings = make_settings(
        "ref-llava", data=str(tmp_path / "data"), probe_null=2, linear_null=20, n_random=39, n_steer=1, n_directions=2,
        n_bootstrap=200, alphas=(0.5,), n_examples=2, methods=("gain", "steering", "gaze"), doses=(2,),
    )  # fmt: skip
    run_stages(open_study(settings, tmp_path / "run"))
    assert "<html" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")[:500]
    claims = json.loads((tmp_path / "run" / "claims.json").read_text())["claims"]
    assert {claim["verdict"] for claim in claims} <= {"not testable here", "inconclusive", "contradicted"}
