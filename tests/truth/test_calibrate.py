"""Claims on synthetic worlds: the table in the docs in small. A claim that is false must not be supported."""

import pandas as pd
import pytest

from headatlas.truth.calibrate import TRUTH, Sizes, calibrate, is_calibrated, rates
from headatlas.truth.page import calibration_page
from headatlas.truth.synthetic import KINDS


@pytest.fixture(scope="module")
def found():
    return calibrate(range(2), "specificity", sizes=Sizes(questions=500, n_random=60, n_boot=300))


def test_what_is_false_is_not_supported(found):
    false = found[~found["true"]]
    assert len(false) == 2 * sum(not held for truth in TRUTH.values() for held in truth.values())
    assert (false["verdict"] == "supported").sum() <= 1, false[false["verdict"] == "supported"]


def test_what_is_true_and_within_the_scorers_reach_is_supported(found):
    """Single ablation cannot see redundant heads, so that kind of world is left out here; the docs have it."""
    true = found[found["true"] & (found["kind"] != "redundant") & (found["kind"] != "shared")]
    assert (true.groupby("claim")["verdict"].apply(lambda v: (v == "supported").mean()) >= 0.6).all()


def test_a_model_at_chance_cannot_be_tested(found):
    at_chance = found[found["kind"] == "chance"]
    assert set(at_chance["verdict"]) <= {"not testable here", "inconclusive"}


def test_every_kind_has_a_truth_and_a_line_in_the_page(found):
    assert set(TRUTH) == set(KINDS) == set(found["kind"])
    assert set(found["claim"]) == {"C1", "C2", "C3", "C4", "C5a", "C5b"}
    page = calibration_page(found)
    assert all(kind in page for kind in KINDS)
    helped = next(line for line in page.splitlines() if line.startswith("| *helped*"))
    assert helped.split("|")[2:-1] == [" " * 2] * 3 + [" 100 % (true) "] + [" " * 2] * 2


def test_rates_and_aims():
    table = pd.DataFrame(
        [("planted", 0, "C1", True, "supported", 1.0, 0.1)] * 9 + [("planted", 0, "C1", True, "inconclusive", 1.0, 0.1)]
        + [("chance", 0, "C1", False, "supported", 1.0, 0.1)] + [("chance", 0, "C1", False, "not testable here", 1.0, 0.1)] * 9,
        columns=["kind", "seed", "claim", "true", "verdict", "effect", "p"],
    )  # fmt: skip
    made = rates(table).set_index("true")
    assert made.loc[True, "supported"] == 0.9
    assert made.loc[False, "untestable"] == 0.9
    assert is_calibrated(made.reset_index()).tolist() == [False, True]
