import math

import pytest

from headatlas import formatting


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [(0.9, 0.5, "falls from 90.0 % to 50.0 %"), (0.5, 0.9, "rises from 50.0 % to 90.0 %"), (0.9, 0.90004, "stays at 90.0 %"),
     (math.nan, 0.5, "is 50.0 %")],
)  # fmt: skip
def test_a_change_in_words_goes_the_way_the_numbers_go(before, after, text):
    assert formatting.becomes(before, after) == text


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "+2.0"), (-2.0, "−2.0"), (-0.01, "0.0"), (0.01, "0.0"), (math.nan, "–")]
)
def test_signs_are_true_minus_signs_and_zero_has_none(value, text):
    assert formatting.signed(value) == text
