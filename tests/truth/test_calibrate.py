"""Claims on synthetic worlds: the table in the docs in small. A claim that is false must not be supported."""

import pandas as pd
import pytest

from headatlas.cogvsr.enough import SHARES
from headatlas.truth.calibrate import TRUTH, Sizes, calibrate, is_calibrated, rates
from headatlas.truth.page import calibration_page
from headatlas.truth.synthetic import KINDS, drawn


@pytest.fixture(scope="module")
def found():
    return calibrate(range(1), sizes=Sizes(n_random=60, n_boot=300))


def test_what_is_false_is_not_supported(found):
    false = found[~found["true"]]
    assert len(false) == sum(not held for truth in TRUTH.values() for held in truth.values())
    assert not (false["verdict"] == "supported").any(), false[false["verdict"] == "supported"]


def test_what_is_true_and_within_the_scorers_reach_is_supported(found):
    """No scorer of single functions sees heads that all functions share; the docs have that kind of world, too."""
    true = found[found["true"] & (found["kind"] != "shared")]
    assert (true.groupby("claim")["verdict"].apply(lambda v: (v == "supported").mean()) >= 0.6).all()


def test_synthetic_worlds_have_the_splits_of_a_study():
    steps = drawn("planted", 0, 200).data.steps()
    sizes = steps.groupby("split")["question"].nunique() / 200
    assert sizes.to_dict() == pytest.approx(SHARES)


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
