import math

import pytest

from headatlas.annotate.review import agreement
from headatlas.annotate.review.agreement import COLUMNS


def test_two_people_who_agree_on_some(vote):
    votes = [
        vote(who=who, question=q, step=s, verdict=verdict, functions=functions)
        for who, q, s, verdict, functions in [
            ("a", "q0", 0, "accept", ("spatial_perception", "math_reasoning")),
            ("b", "q0", 0, "accept", ("spatial_perception",)),
            ("a", "q0", 1, "accept", ("math_reasoning",)),
            ("b", "q0", 1, "reject", ()),
            ("a", "q1", 0, "accept", ("math_reasoning",)),
            ("b", "q1", 0, "accept", ("math_reasoning",)),
            ("a", "q2", 0, "reject", ()),
            ("b", "q2", 0, "reject", ()),
            ("c", "q2", 1, "reject", ()),
        ]
    ]
    votes += [
        vote(who="z", role="adjudicator", step=1),
        vote(who="a", step=-1, verdict="reject"),
        vote(who="b", step=2, verdict=""),
    ]
    table = agreement(votes).set_index("what")
    assert tuple(table.reset_index().columns) == COLUMNS
    verdict = table.loc["verdict"]
    assert (verdict["steps"], verdict["votes"], verdict["agreement"], verdict["settled"]) == (4, 8, 0.75, 0.75)
    # accept 5, reject 3 of 8: chance agreement of pairs for kappa 34/64, observed 3/4.
    assert verdict["fleiss"] == pytest.approx((0.75 - 34 / 64) / (1 - 34 / 64))
    assert verdict["alpha"] == pytest.approx(1 - (8 - 6) / (8 - (5 * 4 + 3 * 2) / 7))
    assert (verdict["fleiss_steps"], verdict["fleiss_raters"]) == (4, 2)
    assert table.loc["primary function", "alpha"] == pytest.approx(1.0)
    assert table.loc["math_reasoning", "agreement"] == 0.5
    assert table.loc["spatial_perception", "alpha"] == pytest.approx(1.0)
    assert math.isnan(table.loc["knowledge_recall", "alpha"])


def test_without_votes_nothing_is_said():
    table = agreement([])
    assert table["steps"].sum() == 0
    assert table["alpha"].isna().all()
