import numpy as np
import pytest

from headatlas.activations import Activations, capture
from headatlas.errors import HeadAtlasError


@pytest.fixture(scope="module")
def kept(tiny_vlm, tiny_questions, tmp_path_factory):
    return capture(tiny_vlm, tiny_questions, ("gold", "last"), out=tmp_path_factory.mktemp("store") / "acts")


def test_rows_are_taken_by_position_mask_or_slice(kept):
    whole = kept.z("gold")
    assert np.array_equal(kept.z(), whole)
    assert not np.array_equal(kept.z("last"), whole)
    assert np.array_equal(kept.z("gold", [5, 2, 2]), whole[[5, 2, 2]])
    assert np.array_equal(kept.z("gold", slice(3, 9)), whole[3:9])
    mask = (kept.steps.function == "spatial_perception").to_numpy()
    assert np.array_equal(kept.z("gold", mask), whole[mask])
    assert kept.z("gold", []).shape == (0, *whole.shape[1:])


def test_it_is_a_plain_zarr_group_of_float32(kept):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(kept.path / "z.zarr", mode="r")
    assert group["gold"].dtype == np.float32
    assert np.array_equal(group["gold"][:], kept.z("gold"))  # pyright: ignore[reportIndexIssue]


def test_opened_again_it_is_the_same(kept):
    again = Activations.open(kept.path)
    assert again.info == kept.info
    assert again.steps.equals(kept.steps)
    assert "4 heads x 6" in repr(again)


def test_what_is_not_there_is_named(kept, tmp_path):
    with pytest.raises(HeadAtlasError, match="no capture in"):
        Activations.open(tmp_path)
    with pytest.raises(HeadAtlasError, match="must be one of gold, last, which were captured; got 'all'"):
        kept.z("all")
    with pytest.raises(HeadAtlasError, match="a mask must have one value"):
        kept.z("gold", np.array([True, False]))
