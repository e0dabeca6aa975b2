import numpy as np
import pytest

from headatlas.activations.arrays import chunk_rows, create_arrays, has_arrays, open_arrays, remove_folders
from headatlas.folder import Folder
from headatlas.storage import DamagedError

SHAPE = (5, 2, 3, 4)


@pytest.fixture(params=["", "file://", "local://", "memory://"])
def folder(request, tmp_path):
    return Folder.of(f"{request.param}{tmp_path}/a")


def test_arrays_are_made_and_filled_wherever_they_are(folder):
    assert not has_arrays(folder)
    create_arrays(folder, SHAPE, ("gold", "all"))
    assert has_arrays(folder)
    there = Folder.of(folder.full)
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    open_arrays(folder, SHAPE, ("gold", "all"), "r+")["gold"][1:3] = values[1:3]
    arrays = open_arrays(there, SHAPE, ("gold", "all"))
    np.testing.assert_array_equal(arrays["gold"][1:3], values[1:3])
    np.testing.assert_array_equal(arrays["gold"].oindex[np.array([2, 1])], values[[2, 1]])
    assert np.isnan(arrays["gold"][3:]).all()


def test_rows_that_were_never_written_are_no_numbers(folder):
    create_arrays(folder, SHAPE, ("gold",))
    assert np.isnan(open_arrays(folder, SHAPE, ("gold",))["gold"][:]).all()


@pytest.mark.parametrize(
    ("shape", "names"), [(SHAPE, ("gold", "all")), ((6, 2, 3, 4), ("gold",)), ((5, 2, 3, 8), ("gold",))]
)
def test_other_arrays_than_expected_are_damage(folder, shape, names):
    create_arrays(folder, SHAPE, ("gold",))
    with pytest.raises(DamagedError, match=r"z\.zarr"):
        open_arrays(folder, shape, names)


def test_changed_metadata_are_damage(tmp_path):
    folder = Folder.of(tmp_path)
    create_arrays(folder, SHAPE, ("gold",))
    path = tmp_path / "z.zarr" / "gold" / "zarr.json"
    for text in (path.read_text().replace("float32", "float64"), path.read_text().replace("NaN", "0"), "{", ""):
        path.write_text(text)
        with pytest.raises(DamagedError):
            open_arrays(folder, SHAPE, ("gold",))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("target", ["/dev/zero", "itself", "nowhere"])
def test_links_to_no_file_are_missing_and_can_be_written_again(tmp_path, target):
    """Reading a device would fill the memory."""
    folder = Folder.of(tmp_path)
    create_arrays(folder, SHAPE, ("gold",))
    open_arrays(folder, SHAPE, ("gold",), "r+")["gold"][:] = 1
    (chunk,) = (path for path in (tmp_path / "z.zarr").rglob("c/*/*/*/*") if path.is_file())
    chunk.unlink()
    chunk.symlink_to(chunk if target == "itself" else target)
    assert np.isnan(open_arrays(folder, SHAPE, ("gold",))["gold"][:]).all()
    remove_folders(folder, ("gold",))
    open_arrays(folder, SHAPE, ("gold",), "r+")["gold"][:] = 2
    assert (open_arrays(folder, SHAPE, ("gold",))["gold"][:] == 2).all()
    assert not chunk.is_symlink()


def test_chunks_are_about_eight_megabytes():
    assert chunk_rows((10, 2, 4, 6)) == 10
    assert chunk_rows((100_000, 28, 28, 128)) == 20
    assert chunk_rows((5, 1000, 1000, 100)) == 1
