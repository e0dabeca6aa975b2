"""Folders of the cache: made once, by one process."""

import subprocess
import sys

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.reference.made_once import RECORD, made_once


def write(folder):
    (folder / "config.json").write_text("{}")
    (folder / "more").mkdir()
    (folder / "more" / "weights").write_bytes(bytes(100))


def fail(folder):
    raise AssertionError("made again")


def test_a_folder_is_made_once(tmp_path):
    folder = tmp_path / "models" / "a1"
    assert made_once(folder, write) == folder
    assert {path.name for path in folder.iterdir()} == {"config.json", "more", RECORD}
    assert made_once(folder, fail) == folder


def test_a_folder_that_lost_a_file_is_made_again(tmp_path):
    folder = made_once(tmp_path / "a1", write)
    for damage in (
        lambda file: file.unlink(),
        lambda file: file.write_bytes(bytes(99)),
        lambda file: (folder / RECORD).unlink(),
    ):
        damage(folder / "more" / "weights")
        with pytest.raises(AssertionError, match="made again"):
            made_once(folder, fail)
        made_once(folder, write)
        assert (folder / "more" / "weights").stat().st_size == 100


def test_after_an_error_nothing_is_there_and_the_next_call_tries_again(tmp_path):
    folder = tmp_path / "a1"

    def half(new):
        write(new)
        raise HeadAtlasError("the base is damaged")

    with pytest.raises(HeadAtlasError, match="the base is damaged"):
        made_once(folder, half)
    assert not folder.exists()
    assert not list(tmp_path.glob("*.writing"))
    assert made_once(folder, write) == folder


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HeadAtlasError, match="cannot write"):
        made_once(tmp_path / "file" / "a1", write)


MAKER = """
import sys, time
from pathlib import Path
from headatlas.reference.made_once import made_once

log = Path(sys.argv[2])

def make(folder):
    with log.open("a") as file:
        file.write("made\\n")
    (folder / "first").write_bytes(bytes(10))
    time.sleep(1)
    (folder / "last").write_bytes(bytes(10))

folder = made_once(Path(sys.argv[1]), make)
assert {path.name for path in folder.iterdir()} >= {"first", "last"}
"""


def test_of_processes_that_ask_at_once_one_makes_the_folder(tmp_path):
    command = [sys.executable, "-c", MAKER, str(tmp_path / "models" / "a1"), str(tmp_path / "log")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert (tmp_path / "log").read_text() == "made\n"
