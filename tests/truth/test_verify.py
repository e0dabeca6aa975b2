"""The truth of a plant, inferred from the table of exact ablations."""

import pandas as pd
import pytest

from headatlas.heads import Head
from headatlas.truth.layout import Plant
from headatlas.truth.verify import floor_of, judge

A, B, C = Head(4, 1), Head(4, 2), Head(5, 0)
F = "knowledge_recall"


def table(own, other=None):
    """`own`: accuracy of the function without the heads named, for both fills; the other function stays at .9 or `other`."""
    rows = [("", "", F, 0.95, 100), ("", "", "math_reasoning", 0.9, 100)]
    for heads, value in own.items():
        for fill in ("zero", "mean"):
            rows.append((fill, heads, F, value, 100))
            rows.append((fill, heads, "math_reasoning", (other or {}).get(heads, 0.9), 100))
    return pd.DataFrame(rows, columns=["fill", "heads", "function", "accuracy", "n"])


def test_single():
    found = judge(Plant(F, "single", (A,)), table({"L4.H1": 0.3}), floor=0.28)
    assert (found.role, found.minimal, found.specific, found.n) == ("single", (("L4.H1",),), True, 100)


def test_one_head_of_a_pair_took_the_job():
    own = {"L4.H1": 0.3, "L4.H2": 0.94, "L4.H1 L4.H2": 0.29}
    found = judge(Plant(F, "redundant", (A, B)), table(own), floor=0.28)
    assert (found.role, found.minimal) == ("single", (("L4.H1",),))


def test_a_planted_head_that_does_less_than_another_is_needed_too():
    own = {"L4.H1": 0.3, "L4.H2": 0.6, "L5.H0": 0.9, "L4.H1 L4.H2": 0.29, "L4.H1 L5.H0": 0.3, "L4.H2 L5.H0": 0.6}
    own["L4.H1 L4.H2 L5.H0"] = 0.29
    found = judge(Plant(F, "distributed", (A, B, C)), table(own), floor=0.28)
    assert (found.minimal, found.also) == ((("L4.H1",),), ("L4.H2",))


def test_redundant():
    own = {"L4.H1": 0.93, "L4.H2": 0.94, "L4.H1 L4.H2": 0.3}
    found = judge(Plant(F, "redundant", (A, B)), table(own), floor=0.28)
    assert (found.role, found.minimal) == ("redundant", (("L4.H1", "L4.H2"),))


@pytest.mark.parametrize(("one", "role"), [(0.3, "distributed"), (0.6, "redundant")])
def test_distributed(one, role):
    own = {str(h): one for h in (A, B, C)}
    own |= {f"{x} {y}": one for x, y in ((A, B), (A, C), (B, C))}
    own["L4.H1 L4.H2 L5.H0"] = 0.29
    assert judge(Plant(F, "distributed", (A, B, C)), table(own), floor=0.28).role == role


def test_a_switch_for_zero_has_failed():
    kept = table({"L4.H1": 0.3})
    kept.loc[(kept["fill"] == "mean") & (kept["function"] == F), "accuracy"] = 0.95
    found = judge(Plant(F, "single", (A,)), kept, floor=0.28)
    assert found.role == "failed"
    assert found.without == {"zero": 0.3, "mean": 0.95}


def test_others_that_lose_are_told():
    found = judge(Plant(F, "single", (A,)), table({"L4.H1": 0.3}, {"L4.H1": 0.86}), floor=0.28)
    assert not found.specific
    assert found.worst_other == pytest.approx(0.04)


def test_a_function_that_never_worked_has_failed():
    assert judge(Plant(F, "single", (A,)), table({"L4.H1": 0.9}), floor=0.93).role == "failed"


def test_the_floor_is_the_higher_of_guessing_and_reading():
    assert floor_of(0.9, 0.4, 0.25) == 0.4
    assert floor_of(0.9, 0.2, 0.25) == 0.25
    assert floor_of(0.9, 0.88, 0.25) == 0.25, "a function that needs no picture is destroyed at chance"
