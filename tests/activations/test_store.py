import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from headatlas.activations import Activations, capture
from headatlas.errors import HeadAtlasError
from headatlas.storage import DamagedError


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


@pytest.fixture
def copy(kept, tmp_path):
    return Path(shutil.copytree(kept.path, tmp_path / "acts"))


def damaged_files(folder):
    return sorted(path for path in (folder / "z.zarr").rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["delete", "cut", "empty", "flip", "folder"])
def test_damaged_z_is_never_read_as_numbers(kept, copy, how):
    """A missing chunk must not read as zeros, nor a changed one as z: capturing again repairs it."""
    wanted = kept.z("last")
    for path in damaged_files(copy):
        data = bytearray(path.read_bytes())
        damage(path, data, how)
        with suppress(DamagedError):
            np.testing.assert_array_equal(Activations.open(copy).z("last"), wanted)
        if path.is_dir():
            path.rmdir()
        path.write_bytes(kept_bytes(kept, copy, path))


def kept_bytes(kept, copy, path):
    return (Path(kept.path) / path.relative_to(copy)).read_bytes()


def damage(path, data, how):
    if how in ("delete", "folder"):
        path.unlink()
    if how == "folder":
        path.mkdir()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    if how == "empty":
        path.write_bytes(b"")
    if how == "flip":
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["delete", "cut", "empty", "flip", "folder"])
@pytest.mark.parametrize("name", ["z.zarr/gold/c/0/0/0/0", "z.zarr/zarr.json", "z.zarr/gold/zarr.json", "steps.parquet",
                                  "parts/000000.parquet"])  # fmt: skip
def test_a_damaged_capture_is_captured_again(tiny_vlm, tiny_questions, kept, copy, name, how):
    path = copy / name
    damage(path, bytearray(path.read_bytes()), how)
    again = capture(tiny_vlm, tiny_questions, ("gold", "last"), out=copy)
    np.testing.assert_array_equal(again.z("gold"), kept.z("gold"))
    np.testing.assert_array_equal(again.z("last"), kept.z("last"))
    assert again.steps.equals(kept.steps)


def test_a_chunk_that_is_removed_after_it_was_read_is_noticed(kept, tmp_path):
    copy = shutil.copytree(kept.path, tmp_path / "acts")
    opened = Activations.open(copy)
    opened.z("gold")
    for path in (copy / "z.zarr" / "gold" / "c").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(DamagedError, match="is not what was captured"):
        opened.z("gold", [0])
