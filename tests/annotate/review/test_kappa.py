import math

import numpy as np
import pytest

from headatlas.annotate.review.kappa import fleiss, krippendorff_alpha, pairwise


def columns(*raters: str) -> list[list[str]]:
    """Items from one string per rater, "." where there is no label."""
    return [[label for label in item if label != "."] for item in zip(*(r.split() for r in raters), strict=True)]


def test_alpha_of_krippendorffs_own_examples():
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", examples A/B and C (nominal).
    two = columns("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
    assert krippendorff_alpha(two) == pytest.approx(0.095, abs=5e-4)
    four = columns(
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    assert krippendorff_alpha(four) == pytest.approx(0.743, abs=5e-4)


def test_fleiss_of_a_published_table():
    # Fleiss (1971) as given on Wikipedia: 10 subjects, 14 raters, kappa 0.210.
    table = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1, 7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"""
    items = [[i for i, n in enumerate(map(int, row.split())) for _ in range(n)] for row in table.split(",")]
    kappa, of, raters = fleiss(items)
    assert (round(kappa, 3), of, raters) == (0.210, 10, 14)


def test_fleiss_takes_the_items_with_the_commonest_number_of_labels():
    items = [["a", "a"], ["b", "b"], ["a", "b"], ["a", "b", "b"], ["a"]]
    kappa, of, raters = fleiss(items)
    assert (of, raters) == (3, 2)
    assert kappa == pytest.approx(fleiss(items[:3])[0])
    assert fleiss([["a", "b"], ["a", "a", "a"]])[1:] == (1, 3)


@pytest.mark.parametrize("measure", [krippendorff_alpha, lambda items: fleiss(items)[0]])
def test_the_ends_of_the_scale(measure):
    assert measure([["a", "a", "a"], ["b", "b", "b"]]) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    chance = measure([list(rng.choice(["a", "b", "c"], 3, p=[0.6, 0.3, 0.1])) for _ in range(4000)])
    assert abs(chance) < 0.03
    assert measure([["a", "b"], ["b", "a"]]) < 0
    for nothing in ([], [["a"]], [["a", "a"], ["a", "a"]]):
        assert math.isnan(measure(nothing))


def test_pairwise():
    assert pairwise([["a", "a", "b"], ["a", "a"], ["c"]]) == pytest.approx((1 / 3 + 1) / 2)
    assert math.isnan(pairwise([["a"]]))
