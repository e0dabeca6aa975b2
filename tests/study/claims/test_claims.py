"""Verdicts, from tables made by hand: each claim can come out every way."""

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
    [(0.05, 19, True), (0.06, 19, False), (1 / 19, 18, None), (np.nan, 100, None), (0.01, 0, None)],
)
def test_a_control_of_few_draws_cannot_be_beaten(p, draws, beaten):
    assert beaten_by_draws(p, draws) is beaten


def test_without_tables_no_claim_is_testable_and_each_says_why():
    for absent in ({}, {name: pd.DataFrame() for name in RESULTS}):
        found = verdicts(absent, ("paper", "ablation"))
        assert len(found) == 2 * sum(r.per_scorer for r in CLAIMS.values()) + 1 == 11
        assert {c.verdict for c in found.values()} == {"not testable here"}
        assert all(len(c.sentence) > 15 for c in found.values())


def counts(shares, **values):
    rows = [("share", name, *share, np.nan) for name, share in zip(FUNCTIONS, shares, strict=False)]
    rows += [(what, "", *value, 0.01) for what, value in values.items()]
    table = pd.DataFrame(rows, columns=["what", "function", "value", "low", "high", "p"])
    return RESULTS["counts"].check("counts", table.assign(scorer="ablation", n=9))


def test_every_functions_share_is_tested():
    def of(*shares):
        return verdicts({"counts": counts(shares)})["C1", "ablation"]

    few, many, wide = (0.05, 0.03, 0.08), (0.3, 0.2, 0.4), (0.08, 0.05, 0.12)
    assert of(*[few] * 8).verdict == "supported"
    assert of(*[few] * 7, wide).verdict == "inconclusive"
    one = of(*[few] * 7, many)
    # The mean over functions is 8 %: below the bound, and yet one function's heads are not few.
    assert (one.verdict, one.effect, one.low, one.high) == ("contradicted", 0.3, 0.2, 0.4)
    assert "Decision making 30.0 % (20.0 % to 40.0 %)" in one.sentence
    missing = of(*[few] * 7)
    assert missing.verdict == "not testable here"
    assert "nothing to test, for Decision making" in missing.sentence
    assert of(*[few] * 7, (0.0, 0.0, 0.0)).verdict == "not testable here"
    assert of(*[few] * 7, (0.05, np.nan, np.nan)).verdict == "not testable here"


def test_claims_on_numbers_and_places():
    def of(**values):
        found = verdicts({"counts": counts([], **values)})
        return [found[name, "ablation"].verdict for name in ("C2", "C3")]

    spread = (6, 2, 9)
    assert of(overlap=(0.2, 0.1, 0.3), spread=spread, spatial_minus_other=(2, 1, 3)) == ["supported", "contradicted"]
    assert of(overlap=(0.7, 0.6, 0.9), spread=spread, spatial_minus_other=(-1, -3, 1)) == [
        "contradicted",
        "inconclusive",
    ]
    assert of(overlap=(0.2, 0.1, 0.3), spread=(2, 0, 9), spatial_minus_other=(-2, -3, -1)) == [
        "inconclusive",
        "supported",
    ]
    nothing = (np.nan, np.nan, np.nan)
    assert of(overlap=nothing, spread=spread, spatial_minus_other=nothing) == ["not testable here"] * 2


def negative(drop, p, function=SP, **more):
    row = {
        "scorer": "ablation", "function": function, "operation": "mean", "k": 3, "drop": drop, "low": drop - 0.05,
        "high": drop + 0.05, "random_drop": 0.02, "random_low": 0.0, "random_high": 0.05,
        "n_random": 20, "p": p, "p_mcnemar": 0.001, "unparsable_after": 0.1, "n": 100,
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
    alike = {"low": 1.0, "high": 1.0, "p_mcnemar": 0.5}
    assert removal(negative(1.0, 0.01, **alike), negative(1.0, 0.01, RR, **alike)).verdict == "inconclusive"
    alike["p_mcnemar"] = 0.01
    assert removal(negative(1.0, 0.01, **alike), negative(1.0, 0.01, RR, **alike)).verdict == "supported"


def test_a_rise_is_not_printed_as_a_fall():
    rises = removal(negative(-0.4, 1.0), negative(0.3, 0.04, RR)).sentence
    assert "Spatial perception changes by +40.0 points" in rises
    assert "Relational reasoning changes by -30.0 points" in rises
    assert "falls" not in rises


def positive(function, arm, gain, half=0.01, p=0.01, **more):
    return {
        "scorer": "ablation", "function": function, "alpha": 1.0, "arm": arm, "gain": gain, "low": gain - half,
        "high": gain + half, "p": p, "n": 50, "n_draws": 1, "off_task_gain": 0.0, **more,
    }  # fmt: skip


def steering(gain, p=0.01, draws=20, functions=(SP, RR)):
    rows = []
    for function in functions:
        rows.append(positive(function, "steer", gain))
        rows.append(positive(function, "random_direction", 0.0, p=p, n_draws=draws))
    return verdicts({"positive": pd.DataFrame(rows)})["C5b", "ablation"]


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
    assert "and by +0.0 points along 20 random directions" in told.sentence


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
