import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import OPERATIONS, ablate, mean_z

ONE = HeadSet([Head(1, 0)])


def test_operations_by_name():
    means = np.ones((3, 4, 6), np.float32)
    assert tuple(OPERATIONS) == ("scale", "zero", "mean")
    assert [ablate(ONE, name, means).factor for name in OPERATIONS] == [0.001, 0.0, 0.0]
    assert ablate(ONE, "mean", means).shift is not None


def test_mistakes_are_one_line(store):
    with pytest.raises(HeadAtlasError, match="operation must be one of scale, zero, mean; got 'drop'"):
        ablate(ONE, "drop")
    with pytest.raises(HeadAtlasError, match="needs means"):
        ablate(ONE, "mean")
    with pytest.raises(HeadAtlasError, match="no step of split 'S'"):
        mean_z(store, "S")


def test_means_are_of_the_split_and_prefer_all_tokens(store, monkeypatch):
    monkeypatch.setattr("headatlas.intervention.operations.CHUNK", 7)
    np.testing.assert_allclose(mean_z(store), store.data[:80].mean(0) + 10, rtol=1e-5)
    np.testing.assert_allclose(mean_z(store, "E", "gold"), store.data[80:].mean(0), rtol=1e-4, atol=1e-5)
