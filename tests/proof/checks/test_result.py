"""One result summarises several: a failure comes first, and a check without a result does not count as held."""

from headatlas.proof.checks import Result, worst


def test_a_failure_wins_and_the_largest_difference_is_kept():
    several = [
        Result("sum", "L", "holds", 0.1),
        Result("sum", "L", "fails", 0.3, "why"),
        Result("sum", "L", "holds", 0.2),
    ]
    assert worst("sum", "L", several) == Result("sum", "L", "fails", 0.3, "why")


def test_what_never_applied_does_not_hold():
    idle = Result("zero", "V", "not applicable", None, "unread")
    assert worst("zero", "V", [idle, idle]).verdict == "not applicable"
    assert worst("zero", "V", [idle, Result("zero", "V", "holds", 0.0)]) == Result("zero", "V", "holds", 0.0, "unread")


def test_three_reasons_are_told_and_the_others_counted():
    told = worst("zero", "C", [Result("zero", "C", "not applicable", None, f"{i % 5}") for i in range(10)])
    assert told.reason == "0; 1; 2; and 2 more"
