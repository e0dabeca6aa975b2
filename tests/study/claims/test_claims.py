"""Verdicts from hand-made tables: each claim reaches every verdict."""

import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.results import RESULTS, VERDICTS
from headatlas.study.claims import CLAIMS, claim, judge
from headatlas.study.claims.base import Claim, beaten_by_draws, overall, verdict_of

SP, RR = "spatial_perception", "relational_reasoning"


def verdicts(tables, scorers=("ablation",)):
    return {(c.id, c.scorer): c for c in judge(lambda name: tables.get(name, RESULTS[name].empty()), scorers)}


@pytest.mark.parametrize(
    ("low", "high", "claimed", "beaten", "verdict"),
    [
        (0.1, 0.2, "above", True, "supported"),
        (0.1, 0.2, "above", False, "inconclusive"),
        (0.1, 0.2, "above", None, "not testable here"),
        (-0.2, -0.1, "above", True, "contradicted"),
        (-0.2, -0.1, "above", None, "contradicted"),
        (-0.1, 0.1, "above", True, "inconclusive"),
        (0.0, 0.0, "above", True, "inconclusive"),
        (-0.2, -0.1, "below", True, "supported"),
        (-0.2, -0.1, "below", False, "inconclusive"),
        (0.1, 0.2, "below", True, "contradicted"),
        (np.nan, 0.2, "above", True, "not testable here"),
    ],
)
def test_a_verdict_needs_the_interval_and_the_control(low, high, claimed, beaten, verdict):
    assert verdict_of(low, high, 0.0, claimed, beaten) == verdict


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["inconclusive", "not testable here"], "not testable here"),
        (["supported", "not testable here", "contradicted"], "contradicted"),
        ([], "not testable here"),
    ],
)
def test_a_claim_holds_only_if_every_part_does(parts, whole):
    assert overall(parts) == whole


@pytest.mark.parametrize(
    ("p", "draws", "beaten"),
    [(0.05, 39, True), (0.06, 39, False), (1 / 39, 38, None), (np.nan, 100, None), (0.01, 0, None)],
)
def test_a_control_of_few_draws_cannot_be_beaten(p, draws, beaten):
    assert beaten_by_draws(p, draws) is beaten


def test_without_tables_no_claim_is_testable_and_each_says_why():
    for absent in ({}, {name: pd.DataFrame() for name in RESULTS}):
        found = verdicts(absent, ("paper", "ablation"))
        assert len(found) == 2 * sum(r.per_scorer for r in CLAIMS.values()) + 1 == 11
        assert {c.verdict for c in found.values()} == {"not testable here"}
        assert all(len(c.sentence) > 15 for c in found.values())


def counts(**values):
    rows = [(what, "", *value, 0.01) for what, value in values.items()]
    table = pd.DataFrame(rows, columns=["what", "function", "value", "low", "high", "p"])
    return RESULTS["counts"].check("counts", table.assign(scorer="ablation", n=9))


def concentration(*ratios, beyond_low=0.2, n_random=39, all_low=0.5, form=0.1):
    rows = [
        {"function": name, "k": k, "share": k / 48, "drop": 0.4, "all_drop": 0.6, "all_low": all_low, "all_high": 0.7,
         "ratio": ratio[0], "low": ratio[1], "high": ratio[2], "random_ratio": 0.2, "n_random": n_random if k == 4 else 0,
         "beyond": 0.3, "beyond_low": beyond_low, "beyond_high": 0.4, "form": form, "unparsable": 0.1, "n": 50}
        for name, ratio in zip(FUNCTIONS, ratios, strict=False) for k in (1, 4)
    ]  # fmt: skip
    return RESULTS["concentration"].check("concentration", pd.DataFrame(rows).assign(scorer="ablation"))


def test_every_function_must_be_sparse_and_sparser_than_random_heads():
    def of(*ratios, **more):
        return verdicts({"concentration": concentration(*ratios, **more)})["C1", "ablation"]

    few, many, wide = (0.97, 0.94, 1.0), (0.5, 0.4, 0.6), (0.85, 0.7, 0.99)
    assert of(*[few] * 8).verdict == "supported"
    assert of(*[few] * 7, wide).verdict == "inconclusive"
    one = of(*[few] * 7, many)
    # A ranking that fails does not show that no few heads would do.
    assert (one.verdict, one.effect, one.low, one.high) == ("inconclusive", 0.5, 0.4, 0.6)
    assert "Decision making 50.0 % (40.0 % to 60.0 %; random heads 20.0 %)" in one.sentence
    assert "the best 4 heads (8.3 % of all)" in one.sentence
    missing = of(*[few] * 7)
    assert missing.verdict == "not testable here"
    assert "nothing to test for Decision making" in missing.sentence
    assert of(*[few] * 8, beyond_low=-0.01).verdict == "inconclusive"
    unreadable = of(*[few] * 8, form=0.8)
    assert unreadable.verdict == "inconclusive"
    assert "80.0 % of the lost answers are unreadable" in unreadable.sentence
    assert of(*[few] * 8, n_random=19).verdict == "not testable here"


def test_a_model_at_chance_has_no_sparse_functions():
    """If removing all heads does no damage, no share of it can be computed."""
    made = verdicts({"concentration": concentration(*[(1.0, 0.95, 1.05)] * 8, all_low=-0.02)})["C1", "ablation"]
    assert made.verdict == "not testable here"
    assert made.effect is None


def test_claims_on_numbers_and_places():
    def of(**values):
        found = verdicts({"counts": counts(**values)})
        return [found[name, "ablation"].verdict for name in ("C2", "C3")]

    place, number = (0.4, 0.2, 0.6), (3, 1, 5)
    assert of(place=place, number=number, spatial_minus_other=(2, 1, 3)) == ["supported", "contradicted"]
    assert of(place=(-0.2, -0.3, -0.1), number=number, spatial_minus_other=(-1, -3, 1)) == [
        "contradicted",
        "inconclusive",
    ]
    assert of(place=place, number=(1, -1, 3), spatial_minus_other=(-2, -3, -1)) == ["inconclusive", "supported"]
    assert of() == ["not testable here"] * 2


def test_claims_of_a_scorer_are_corrected_together():
    row = counts(place=(0.4, 0.2, 0.6), number=(3, 1, 5), spatial_minus_other=(-2, -3, -1)).assign(p=0.04)
    alone = verdicts({"counts": row})["C3", "ablation"]
    assert (alone.verdict, alone.p, alone.q) == ("supported", 0.04, 0.04)
    tables = {"counts": row, "negative": pd.DataFrame([negative(0.4, 0.6), negative(0.3, 0.6, RR)])}
    three = verdicts(tables | {"positive": steered(0.05, p=0.9)})
    assert (three["C3", "ablation"].verdict, round(three["C3", "ablation"].q, 6)) == ("inconclusive", 0.12)
    assert "Adjusted over 3 claims, p = 0.04 becomes 0.12" in three["C3", "ablation"].sentence


def negative(drop, p, function=SP, **more):
    row = {
        "scorer": "ablation", "function": function, "operation": "mean", "k": 3, "drop": drop, "low": drop - 0.05,
        "high": drop + 0.05, "random_drop": 0.0, "random_low": -0.02, "random_high": 0.02,
        "beyond": drop, "beyond_low": drop - 0.06, "beyond_high": drop + 0.06, "match": "in the same layers",
        "specific": drop, "specific_low": drop - 0.08, "specific_high": drop + 0.08,
        "parsable_drop": drop, "parsable_low": drop - 0.07, "parsable_high": drop + 0.07,
        "n_random": 100, "p": p, "p_mcnemar": 0.001, "unparsable_after": 0.1, "n": 100,
    }  # fmt: skip
    return row | more


def removal(*rows):
    return verdicts({"negative": pd.DataFrame(rows)})["C5a", "ablation"]


def test_removal_holds_only_if_both_spatial_functions_fall_further_than_random():
    assert removal(negative(0.4, 0.04), negative(0.3, 0.04, RR)).verdict == "supported"
    weaker = removal(negative(0.4, 0.04), negative(0.3, 0.6, RR))
    assert (weaker.verdict, weaker.effect, weaker.p) == ("inconclusive", 0.3, 0.6)
    assert removal(negative(0.4, 0.6), negative(0.3, 0.6, RR)).verdict == "inconclusive"
    assert removal(negative(-0.4, 1.0), negative(-0.3, 1.0, RR)).verdict == "contradicted"
    assert removal(negative(0.4, 0.04), negative(-0.3, 1.0, RR)).verdict == "contradicted"


def test_one_spatial_function_alone_does_not_decide():
    for other in ([], [negative(0.3, 0.04, RR, k=0)]):
        one = removal(negative(0.4, 0.04), *other)
        assert one.verdict == "not testable here"
        assert "Relational reasoning has no heads" in one.sentence


def test_too_few_random_sets_are_said():
    for n_random in (0, 10):
        few = removal(negative(0.4, 0.01, n_random=n_random), negative(0.3, 0.01, RR))
        assert few.verdict == "not testable here"
        assert f"{n_random} random sets are too few" in few.sentence


def test_two_questions_that_change_alike_support_nothing():
    alike = {"low": 1.0, "high": 1.0, "beyond_low": 1.0, "beyond_high": 1.0, "p_mcnemar": 0.5}
    assert removal(negative(1.0, 0.01, **alike), negative(1.0, 0.01, RR, **alike)).verdict == "inconclusive"
    alike["p_mcnemar"] = 0.01
    assert removal(negative(1.0, 0.01, **alike), negative(1.0, 0.01, RR, **alike)).verdict == "supported"


@pytest.mark.parametrize("lacking", ["specific_low", "parsable_low", "low"])
def test_a_drop_that_is_unspecific_or_of_the_format_supports_nothing(lacking):
    one = {lacking: -0.01}
    assert removal(negative(0.4, 0.01, **one), negative(0.3, 0.01, RR)).verdict == "inconclusive"
    assert removal(negative(0.4, 0.01, **{lacking: np.nan}), negative(0.3, 0.01, RR)).verdict == "inconclusive"


def test_a_rise_is_not_printed_as_a_fall():
    rises = removal(negative(-0.4, 1.0), negative(0.3, 0.04, RR)).sentence
    assert "Spatial perception changes by +40.0 points" in rises
    assert "Relational reasoning changes by −30.0 points" in rises
    assert "falls" not in rises


def positive(function, arm, gain, half=0.01, p=0.01, **more):
    return {
        "scorer": "ablation", "function": function, "alpha": 1.0, "arm": arm, "gain": gain, "low": gain - half,
        "high": gain + half, "p": p, "n": 50, "n_draws": 1, "off_task_gain": 0.0, **more,
    }  # fmt: skip


def steered(gain, p=0.01, draws=40, functions=(SP, RR)):
    rows = []
    for function in functions:
        rows.append(positive(function, "steer", gain))
        rows.append(positive(function, "random_direction", 0.0, p=p, n_draws=draws))
    return pd.DataFrame(rows)


def steering(*gain, **more):
    return verdicts({"positive": steered(*gain, **more)})["C5b", "ablation"]


def test_steering_must_gain_more_than_random_directions():
    assert steering(0.05).verdict == "supported"
    assert steering(0.05, p=0.2).verdict == "inconclusive"
    assert steering(-0.05).verdict == "contradicted"
    assert steering(0.005).verdict == "inconclusive"
    assert steering(0.05, draws=8).verdict == "not testable here"
    assert steering(0.05, functions=(SP,)).verdict == "not testable here"


def test_steering_is_told_beside_its_controls():
    told = steering(0.05, p=0.2)
    assert (told.verdict, told.p) == ("inconclusive", 0.2)
    assert "by 0.0 points along 40 random directions" in told.sentence


def test_steering_without_directions_says_why():
    table = pd.DataFrame([{"scorer": "ablation", "function": SP, "reason": "3 incorrect steps"}])
    assert "3 incorrect steps" in verdicts({"steering": table})["C5b", "ablation"].sentence


def activation(gain, beyond, half=0.01, beyond_p=0.01):
    row = {
        "arm": "boxes+mask", "group": "spatial", "accuracy": 0.8, "gain": gain, "low": gain - half, "high": gain + half,
        "p": 0.001, "beyond": beyond, "beyond_low": beyond - half, "beyond_high": beyond + half, "beyond_p": beyond_p,
        "unparsable": 0.0, "n": 50,
    }  # fmt: skip
    return verdicts({"activation": pd.DataFrame([row])})["C4", ""]


def test_activation_must_beat_random_boxes_by_a_paired_difference():
    assert activation(0.1, 0.1).verdict == "supported"
    # The control gains less, but the difference may be chance.
    assert activation(0.1, 0.005).verdict == "inconclusive"
    assert activation(0.1, -0.1).verdict == "inconclusive"
    assert activation(-0.1, 0.1).verdict == "contradicted"
    assert activation(0.0, 0.0).verdict == "inconclusive"
    assert activation(0.1, np.nan).verdict == "not testable here"
    assert activation(0.1, 0.1, beyond_p=0.03).p == 0.03


def test_claims_become_json_without_nan():
    told = verdicts({})["C1", "ablation"].to_json()
    assert told["effect"] is None
    assert set(told) == {
        "id", "title", "statement", "scorer", "verdict", "effect", "unit", "low", "high", "p", "n", "control", "sentence",
        "q", "parts",
    }  # fmt: skip
    assert told["verdict"] in VERDICTS


def test_a_claim_from_outside_is_judged_in_its_place():
    @claim("C4b", per_scorer=False)
    def mine(tables, scorer):
        return Claim("C4b", "Mine", "Mine.", scorer, "supported", 1.0, "share", 0.9, 1.1, 0.01, 1, "none", "Mine.")

    try:
        found = verdicts({})
        assert found["C4b", ""].verdict == "supported"
        assert [name for name, _ in found] == ["C1", "C2", "C3", "C4", "C4b", "C5a", "C5b"]
    finally:
        CLAIMS.remove("C4b")


def test_scorers_are_called_as_the_study_noted():
    named = pd.DataFrame([{"scorer": "ablation", "title": "my scorer"}])
    assert "by my scorer" in verdicts({"scorers": named})["C1", "ablation"].sentence
