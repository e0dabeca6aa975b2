import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.latent import activation_table
from headatlas.results import validate

FUNCTIONS = ["spatial_perception", "relational_reasoning", "math_reasoning"]


def answers(right):
    rows = [
        {
            "question": f"q{q}", "step": step, "n_steps": 3, "function": function,
            "correct": function in right or q % 2 == 0, "unparsable": False,
        }
        for q in range(60)
        for step, function in enumerate(FUNCTIONS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_gain_by_group_against_original():
    table = activation_table({"original": answers([]), "boxes": answers(["spatial_perception"])}, n_boot=1000)
    validate("activation", table)
    assert table["group"].unique().tolist() == [*FUNCTIONS, "spatial", "final"]
    rows = table.set_index(["arm", "group"])
    hit = rows.loc[("boxes", "spatial_perception")]
    assert (hit["accuracy"], hit["gain"], hit["n"]) == (1.0, 0.5, 60)
    assert 0.35 < hit["low"] < 0.5 < hit["high"] < 0.65
    assert hit["p"] == pytest.approx(2 * 0.5**30)
    assert rows.loc[("boxes", "spatial"), "gain"] == pytest.approx(0.25)
    assert rows.loc[("boxes", "final"), ["gain", "p", "n"]].tolist() == [0, 1, 60]
    assert (rows.loc["original"]["gain"] == 0).all()
    assert rows.loc["original"]["p"].isna().all()


def test_no_original_no_comparison():
    with pytest.raises(HeadAtlasError, match="arm 'original', got boxes"):
        activation_table({"boxes": answers([])})


def test_beyond_is_paired_with_the_arms_control():
    def arm(right_of):
        table = answers([])
        return table.assign(correct=table["question"].str[1:].astype(int) % 6 < right_of)

    tables = {"original": arm(1), "boxes": arm(4), "random_boxes": arm(3)}
    rows = validate("activation", activation_table(tables, n_boot=1000)).set_index(["arm", "group"])
    both = rows.loc[("boxes", "spatial")]
    assert both["control"] == "random_boxes"
    assert both["gain"] == pytest.approx(0.5)
    assert both["beyond"] == pytest.approx(1 / 6)
    assert 0 < both["beyond_low"] < both["beyond"] < both["beyond_high"]
    assert both["beyond_p"] < 0.01
    assert rows.loc[("random_boxes", "spatial"), ["beyond", "beyond_low", "beyond_p"]].isna().all()
    other = activation_table(tables, {"boxes": "nowhere"}, n_boot=100)
    assert other["beyond"].isna().all(), "a control that was not run is no comparison"
