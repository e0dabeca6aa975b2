from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headatlas.answers import metrics
from headatlas.errors import HeadAtlasError

SP, RR, LV, DM = "spatial_perception", "relational_reasoning", "low_level_perception", "decision_making"
CHAIN = ((LV, "choice", "red"), (SP, "number", "2"), (RR, "choice", "left"), (DM, "yes_no", "yes"))


def answers(right: list[str], sources: list[str] | None = None) -> pd.DataFrame:
    """A table of four-step questions; `right[i]` such as "1101" says which steps of question i are right."""
    rows = []
    for i, marks in enumerate(right):
        for k, ((function, answer_type, gold), mark) in enumerate(zip(CHAIN, marks, strict=True)):
            rows.append(
                {
                    "question": f"q{i}", "step": k, "n_steps": 4, "split": "E", "family": "f", "scene": f"s{i // 2}",
                    "source": sources[i] if sources else "scenes", "kind": f"k{k}", "function": function,
                    "functions": f"{function}|math_reasoning" if k == 1 else function, "answer_type": answer_type,
                    "gold": gold if i % 4 else {"red": "blue", "2": "3", "left": "right", "yes": "no"}[gold],
                    "text": "x", "parsed": None if mark == "?" else "x", "correct": mark == "1", "unparsable": mark == "?",
                    "logprob": -1.0,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


MIXED = ["1111", "1011", "1110", "?101", "1111", "0111", "1010", "1111"]


def test_accuracy_with_its_interval_over_scenes():
    table = answers(MIXED)
    found = metrics.accuracy(table)
    assert found.value == pytest.approx(table["correct"].mean())
    assert found.n == 32
    assert found.low < found.value < found.high


def test_accuracy_without_spread_keeps_an_interval():
    found = metrics.accuracy(answers(["1111"] * 8))
    assert (found.value, found.high) == (1.0, pytest.approx(1.0))
    assert 0.3 < found.low < 0.7  # four scenes are little evidence
    assert metrics.accuracy(answers(["0000"] * 8)).high == pytest.approx(1 - found.low)


def test_accuracy_by_function_family_and_all():
    table = answers(MIXED)
    by = metrics.accuracy_by(table, n=200).set_index("group")
    assert list(by.index) == [LV, SP, RR, DM]
    assert by.loc[SP, "accuracy"] == pytest.approx(6 / 8)
    assert by.loc[LV, "unparsable"] == pytest.approx(1 / 8)
    assert by["n"].sum() == 32
    assert list(metrics.accuracy_by(table, None, n=50)["group"]) == ["all"]
    assert list(metrics.accuracy_by(table, ("family", "step"), n=50)["group"]) == ["f|0", "f|1", "f|2", "f|3"]
    with pytest.raises(HeadAtlasError, match="colour"):
        metrics.accuracy_by(table, "colour")


def test_multi_label_steps_count_for_each_function_only_when_asked():
    table = answers(MIXED)
    assert "math_reasoning" not in set(metrics.accuracy_by(table, n=50)["group"])
    multi = metrics.accuracy_by(table, "functions", n=50).set_index("group")
    assert multi.loc["math_reasoning", "accuracy"] == multi.loc[SP, "accuracy"]
    assert multi["n"].sum() == 40


def test_final_is_the_last_step():
    assert list(metrics.final(answers(MIXED))["step"]) == [3] * 8


def test_spatial_score_is_the_mean_of_the_two_spatial_functions():
    found = metrics.spatial_score(answers(MIXED))
    assert found.value == pytest.approx(100 * (6 / 8 + 7 / 8) / 2)
    assert found.n == 16
    assert found.low < found.value < found.high <= 100
    assert metrics.spatial_score(answers(["0110"] * 4), n=50).value == 100


def test_spatial_score_is_macro_over_sources():
    table = answers(["1111"] + ["1001"] * 7, ["a"] + ["b"] * 7)
    assert metrics.spatial_score(table, n=100).value == pytest.approx(50)


def test_spatial_score_without_one_of_the_functions_is_not_a_number():
    table = answers(MIXED)
    assert np.isnan(metrics.spatial_score(table[table["function"] != SP]).value)


def test_chance_by_answer_type():
    table = answers(MIXED)
    guess = metrics.chance(table)
    assert guess[table["answer_type"] == "yes_no"].unique().tolist() == [0.5]
    assert guess[table["step"] == 1].unique().tolist() == [6 / 8]  # gold: six times 2, twice 3
    assert guess[table["step"] == 2].unique().tolist() == [6 / 8]
    known = table.assign(options=[("left", "right", "above", "below") if k == 2 else () for k in table["step"]])
    assert metrics.chance(known)[table["step"] == 2].unique().tolist() == [0.25]
    joined = known.assign(options=["|".join(o) for o in known["options"]])
    pd.testing.assert_series_equal(metrics.chance(joined), metrics.chance(known))
    assert (metrics.chance(table.assign(chance=0.1)) == 0.1).all()


def test_chance_corrected_score():
    table = answers(MIXED).assign(chance=0.5)
    found = metrics.spatial_score(table, chance_corrected=True, n=300)
    assert found.value == pytest.approx(100 * ((0.75 - 0.5) / 0.5 + (0.875 - 0.5) / 0.5) / 2)
    assert found.low < found.value < found.high
    perfect = answers(["1111"] * 8)
    assert metrics.spatial_score(perfect, chance_corrected=True, n=50).value == pytest.approx(100)
    guessing = answers(["1111", "0000"] * 4).assign(chance=0.5)
    assert metrics.spatial_score(guessing, chance_corrected=True, n=50).value == pytest.approx(0)
    assert np.isnan(metrics.spatial_score(perfect.assign(chance=1.0), chance_corrected=True).value)


def test_ss_ground_is_the_paired_difference():
    seen, blind = answers(MIXED), answers(["1011", "1001", "1100", "1101", "1101", "0111", "1000", "1011"])
    shuffled = blind.sample(frac=1, random_state=0)
    found = metrics.ss_ground(seen, shuffled)
    expected = metrics.spatial_score(seen, n=50).value - metrics.spatial_score(blind, n=50).value
    assert found.value == pytest.approx(expected)
    assert metrics.ss_ground(seen, seen, n=50).value == 0
    with pytest.raises(HeadAtlasError, match="same steps"):
        metrics.ss_ground(seen, blind.iloc[1:])


def test_ss_chain_needs_all_spatial_steps_and_the_end():
    # right: 1111 three times, 0111 (colour is no spatial step); wrong: 1011, 1110, ?101, 1010
    found = metrics.ss_chain(answers(MIXED))
    assert found.value == pytest.approx(50)
    assert found.n == 8
    table = answers(MIXED)
    with pytest.raises(HeadAtlasError, match="own context"):
        metrics.ss_chain(table.assign(context="gold"))
    no_spatial = table[~table["function"].isin((SP, RR))]
    assert metrics.ss_chain(no_spatial).n == 0
    half = table[~(table["function"].isin((SP, RR)) & (table["question"] == "q0"))]
    assert metrics.ss_chain(half, n=50).n == 7


def test_what_is_no_answers_table_is_refused():
    table = answers(MIXED)
    with pytest.raises(HeadAtlasError, match="scene"):
        metrics.spatial_score(table.drop(columns="scene"))
    with pytest.raises(HeadAtlasError, match="empty"):
        metrics.accuracy(table.iloc[:0])
