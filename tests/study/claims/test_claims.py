"""Verdicts, from tables made by hand: each claim can come out every way."""

import numpy as np
import pandas as pd
import pytest

from headatlas.study.claims import RULES, judge
from headatlas.study.claims.base import verdict_of


def verdicts(tables, scorers=("ablation",)):
    return {(c.id, c.scorer): c for c in judge(lambda name: tables.get(name, pd.DataFrame()), scorers)}


@pytest.mark.parametrize(
    ("low", "high", "claimed", "beaten", "verdict"),
    [
        (0.1, 0.2, "above", True, "supported"),
        (0.1, 0.2, "above", False, "not supported"),
        (-0.2, -0.1, "above", True, "not supported"),
        (-0.1, 0.1, "above", True, "inconclusive"),
        (-0.2, -0.1, "below", True, "supported"),
        (0.1, 0.2, "below", True, "not supported"),
        (np.nan, 0.2, "above", True, "inconclusive"),
    ],
)
def test_a_verdict_needs_the_interval_and_the_control(low, high, claimed, beaten, verdict):
    assert verdict_of(low, high, 0.0, claimed, beaten) == verdict


def test_without_tables_every_claim_is_inconclusive_and_says_why():
    found = verdicts({}, ("paper", "ablation"))
    assert len(found) == 2 * sum(r.per_scorer for r in RULES) + sum(not r.per_scorer for r in RULES) == 11
    assert {c.verdict for c in found.values()} == {"inconclusive"}
    assert all(len(c.sentence) > 15 for c in found.values())


def counts(**values):
    rows = [
        {"scorer": "ablation", "what": k, "value": v[0], "low": v[1], "high": v[2], "p": 0.01, "n": 9}
        for k, v in values.items()
    ]
    return pd.DataFrame(rows)


def test_claims_on_heads():
    found = verdicts(
        {
            "counts": counts(
                share=(0.05, 0.03, 0.08), overlap=(0.2, 0.1, 0.3), spread=(6, 2, 9), spatial_minus_other=(2, 1, 3)
            )
        }
    )
    assert found["C1", "ablation"].verdict == "supported"
    assert found["C2", "ablation"].verdict == "supported"
    assert found["C3", "ablation"].verdict == "not supported"
    found = verdicts(
        {
            "counts": counts(
                share=(0.5, 0.3, 0.8), overlap=(0.7, 0.6, 0.9), spread=(6, 2, 9), spatial_minus_other=(-1, -3, 1)
            )
        }
    )
    assert found["C1", "ablation"].verdict == "not supported"
    assert found["C2", "ablation"].verdict == "not supported"
    assert found["C3", "ablation"].verdict == "inconclusive"


def negative(drop, p, function="spatial_perception", **more):
    row = {
        "scorer": "ablation", "function": function, "operation": "mean", "k": 3, "drop": drop, "low": drop - 0.05,
        "high": drop + 0.05, "random_drop": 0.02, "random_low": 0.0, "random_high": 0.05, "n_random": 20, "p": p,
        "unparsable_after": 0.1, "n": 100,
    }  # fmt: skip
    return row | more


def test_removal_holds_only_if_both_spatial_functions_fall_further_than_random():
    def of(*rows):
        return verdicts({"negative": pd.DataFrame(rows)})["C5a", "ablation"]

    rr = "relational_reasoning"
    assert of(negative(0.4, 0.04), negative(0.3, 0.04, rr)).verdict == "supported"
    weaker = of(negative(0.4, 0.04), negative(0.3, 0.6, rr))
    assert (weaker.verdict, weaker.effect, weaker.p) == ("inconclusive", 0.3, 0.6)
    assert of(negative(-0.4, 1.0), negative(-0.3, 1.0, rr)).verdict == "not supported"
    one = of(negative(0.4, 0.04), negative(0.3, 0.04, rr, k=0))
    assert one.verdict == "supported"
    assert "Relational reasoning had no heads" in one.sentence
    assert of(negative(0.4, 0.04, n_random=0)).verdict == "inconclusive"


def positive(arm, gain, high, p=0.01, function="spatial_perception"):
    return {
        "scorer": "ablation", "function": function, "alpha": 1.0, "arm": arm, "gain": gain, "low": gain - 0.01, "high": high,
        "p": p, "n": 50, "off_task_gain": 0.0,
    }  # fmt: skip


def test_steering_must_gain_more_than_random_directions():
    def of(steered, random_high, p=0.01):
        rows = [positive("steer", steered, steered + 0.01, p), positive("random_direction", 0.0, random_high)]
        return verdicts({"positive": pd.DataFrame(rows)})["C5b", "ablation"].verdict

    assert of(0.05, 0.02) == "supported"
    assert of(0.05, 0.06) == "not supported"
    assert of(-0.05, 0.06) == "not supported"
    assert of(0.005, 0.0) == "inconclusive"


def test_steering_without_directions_says_why():
    steering = pd.DataFrame([{"scorer": "ablation", "function": "spatial_perception", "reason": "3 incorrect steps"}])
    assert "3 incorrect steps" in verdicts({"steering": steering})["C5b", "ablation"].sentence


def test_activation_is_judged_once_and_against_random_boxes():
    def of(gain, random):
        rows = [
            {"arm": arm, "group": "spatial", "accuracy": 0.8, "gain": g, "low": g - 0.01, "high": g + 0.01, "p": 0.01,
             "unparsable": 0.0, "n": 50}
            for arm, g in (("boxes+mask", gain), ("random_boxes", random))
        ]  # fmt: skip
        return verdicts({"activation": pd.DataFrame(rows)})["C4", ""].verdict

    assert of(0.1, 0.0) == "supported"
    assert of(0.1, 0.2) == "not supported"
    assert of(-0.1, 0.0) == "not supported"
    assert of(0.0, 0.0) == "inconclusive"


def test_claims_become_json_without_nan():
    told = verdicts({})["C1", "ablation"].to_json()
    assert told["effect"] is None
    assert set(told) == {
        "id", "title", "statement", "scorer", "verdict", "effect", "unit", "low", "high", "p", "n", "control", "sentence",
    }  # fmt: skip
