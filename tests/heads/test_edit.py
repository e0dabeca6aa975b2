"""The five constructors, and the values that they refuse."""

import numpy as np
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, mean, patch, scale, steer, zero

HEADS = HeadSet.parse("L0.H1 L1.H0")
VALUES = torch.randn(2, 3, 4)


def test_factor_and_shift_of_each_form():
    assert (scale(HEADS).factor, scale(HEADS).shift) == (0.001, None)
    assert (zero(HEADS).factor, zero(HEADS).shift) == (0.0, None)
    assert mean(HEADS, VALUES).factor == 0
    torch.testing.assert_close(mean(HEADS, VALUES).shift, VALUES)
    assert patch(HEADS, VALUES).rows is None
    assert patch(HEADS, VALUES.expand(5, 2, 3, 4)).rows == 5
    sigma = torch.rand(2, 3)
    steered = steer(HEADS, VALUES, 0.5, sigma)
    assert steered.factor == 1
    torch.testing.assert_close(steered.shift, 0.5 * sigma[:, :, None] * VALUES)


def test_numpy_values_are_as_good():
    torch.testing.assert_close(mean([Head(0, 1)], VALUES.numpy()).shift, VALUES)
    assert steer(HEADS, VALUES.numpy(), 1.0, np.ones((2, 3))).shift.dtype == torch.float32


def test_unused_entries_may_be_nan_but_used_ones_not():
    values = VALUES.clone()
    values[0, 0, 2] = float("nan")
    mean(HEADS, values)
    values[1, 0, 2] = float("nan")
    with pytest.raises(HeadAtlasError, match=r"mean: the values of head L1\.H0 are NaN"):
        mean(HEADS, values)
    rows = VALUES.expand(5, 2, 3, 4).clone()
    rows[3, 0, 1] = float("inf")
    with pytest.raises(HeadAtlasError, match=r"patch: the values of head L0\.H1"):
        patch(HEADS, rows)


def test_wrong_values_are_refused():
    with pytest.raises(HeadAtlasError, match="outside the values of 2 layers x 3 heads"):
        mean([Head(2, 0)], VALUES)
    with pytest.raises(HeadAtlasError, match="factor must be finite"):
        scale(HEADS, float("nan"))
    with pytest.raises(HeadAtlasError, match="sigma must be"):
        steer(HEADS, VALUES, 1.0, torch.ones(3, 2))
    with pytest.raises(HeadAtlasError, match="one tower"):
        mean([Head(0, 0), Head(0, 0, "V")], VALUES)


def test_fingerprint_follows_the_effect():
    base = mean(HEADS, VALUES).fingerprint
    unused = VALUES.clone()
    unused[0, 0] = 9
    used = VALUES.clone()
    used[0, 1, 0] += 1e-3
    assert mean(HeadSet.parse("L1.H0 L0.H1"), unused).fingerprint == base
    assert mean(HEADS, used).fingerprint != base
    assert mean(HEADS[:1], VALUES).fingerprint != base
    assert scale(HEADS, 0.1).fingerprint != scale(HEADS, 0.2).fingerprint
    assert zero(HEADS).fingerprint != mean(HEADS, torch.zeros(2, 3, 4)).fingerprint
