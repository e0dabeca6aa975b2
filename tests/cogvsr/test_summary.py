import json

import pytest

from headatlas.cogvsr import FUNCTIONS, CogVSR
from headatlas.cogvsr.summary import COLUMNS, PAPER, summarize, title, to_dict


@pytest.fixture
def data(questions) -> CogVSR:
    return CogVSR.from_questions(questions)


def test_counts_by_every_group(data):
    table = summarize(data)
    assert tuple(table.columns) == COLUMNS

    def group(name: str) -> dict[str, tuple[int, int]]:
        part = table[table["group"] == name]
        return {row["name"]: (row["questions"], row["steps"]) for row in part.to_dict("records")}

    assert group("all") == {"": (5, 10)}
    assert group("split") == {"P": (2, 4), "S": (1, 2), "T": (1, 2), "E": (1, 2)}
    assert group("family") == {"left_right": (3, 6), "counting": (2, 4)}
    assert tuple(group("function")) == FUNCTIONS
    assert group("function")["spatial_perception"] == (5, 5)
    assert group("function")["low_level_perception"] == (0, 0)  # a second function does not count
    assert group("answer_type") == {"number": (5, 5), "yes_no": (5, 5)}
    assert group("steps") == {"2": (5, 10)}
    assert group("image") == {"needed": (5, 5), "not needed": (5, 5)}
    for name in ("split", "family", "function", "answer_type", "steps", "image"):
        assert table.loc[table["group"] == name, "share"].sum() == pytest.approx(1.0)


def test_the_papers_figures_stand_beside_and_agree_with_each_other(data):
    table = summarize(data).set_index(["group", "name"])
    assert table.loc[("function", "spatial_perception"), "paper_share"] == 0.2729
    assert table["paper_steps"].count() == 3
    for count, share in PAPER["functions"].values():
        assert count / PAPER["steps"] == pytest.approx(share, abs=0.0001)


def test_as_json(data):
    result = json.loads(json.dumps(to_dict(data)))
    assert result["all"] == {"questions": 5, "steps": 10, "share": 1.0, "paper_steps": 3759.0, "paper_share": 1.0,
                             "paper_questions": 1142}  # fmt: skip
    assert result["function"]["decision_making"] == {"questions": 5, "steps": 5, "share": 0.5}
    assert result["fingerprint"] == data.fingerprint


def test_titles():
    assert title("function", "math_reasoning") == "Math reasoning"
    assert [title("steps", "3"), title("all", ""), title("family", "")] == ["3 steps", "whole dataset", "(none)"]
