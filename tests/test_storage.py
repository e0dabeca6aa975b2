import errno
import fcntl
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, read_frame, write_frame
from headatlas.storage import (
    SEAL,
    DamagedError,
    beside,
    check_out_file,
    check_out_folder,
    difference,
    file_digest,
    is_sealed,
    lock_folder,
    locked,
    read_regular,
    read_sealed,
    recover,
    remove_parts,
    replacing,
    safe_name,
    seal,
    write_whole,
)


@pytest.fixture(params=["disk", "file", "local", "memory", "s3"])
def folder(request, tmp_path):
    where = {
        "disk": tmp_path / "a",
        "file": f"file://{tmp_path}/a",
        "local": f"local://{tmp_path}/a",
        "memory": f"memory://{tmp_path.name}/a",
        "s3": f"{request.getfixturevalue('s3')}/{tmp_path.name}/a" if request.param == "s3" else "",
    }
    return Folder.of(where[request.param])


def test_files_are_written_read_replaced_and_removed(folder):
    assert not folder.has("parts/1.bin")
    with pytest.raises(FileNotFoundError):
        folder.read("parts/1.bin")
    for data in (b"one", b"another"):
        folder.write("parts/1.bin", data)
        assert folder.has("parts/1.bin")
        assert folder.read("parts/1.bin") == folder.at("parts").read("1.bin") == data
    if folder.local is not None:
        assert [path.name for path in (folder.local / "parts").iterdir()] == ["1.bin"], "nothing is left beside it"
    folder.remove("parts/1.bin")
    folder.remove("parts/1.bin")
    assert not folder.has("parts/1.bin")


def test_it_travels_and_tells_its_address(folder):
    assert pickle.loads(pickle.dumps(folder)) == folder
    assert Folder.of(folder) is folder
    assert Folder.of(str(folder)) == folder


def test_addresses_that_cannot_be_opened(monkeypatch):
    with pytest.raises(HeadAtlasError, match="cannot open 'nowhere://x'"):
        Folder.of("nowhere://x")

    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(HeadAtlasError, match=r"headatlas\[store\]"):
        Folder.of("s3://bucket/run")


def test_what_cannot_be_written_is_said(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    def denied(self, path, value, **kwargs):
        raise PermissionError("not yours")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", denied)
    with pytest.raises(HeadAtlasError, match=r"cannot write a\.bin to 'memory://denied': not yours"):
        Folder.of("memory://denied").write("a.bin", b"")


def test_a_seal_covers_every_byte():
    data = seal(b"before " + SEAL + b" after")
    assert is_sealed(data)
    for place in range(len(data)):
        assert not is_sealed(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert not is_sealed(data[:-1])
    assert not is_sealed(b"")
    with pytest.raises(ValueError, match="once, got 0"):
        seal(b"nothing")


def test_tables_are_read_as_they_were_written_or_not_at_all(folder):
    table = pd.DataFrame({"a": ["x", None], "b": [0.1 + 0.2, np.nan], "c": [True, False]})
    write_frame(folder, "t.parquet", table, {"name": "größer"})
    found, info = read_frame(folder, "t.parquet")
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert info == {"name": "größer"}
    data = folder.read("t.parquet")
    folder.write("t.parquet", data[: len(data) // 2])
    with pytest.raises(DamagedError, match=r"t\.parquet in .* was cut off or changed"):
        read_frame(folder, "t.parquet")


def test_only_own_half_written_files_are_removed(tmp_path):
    for name in ("movie.mp4.part", "a.1-2.part", "a.csv.12-0.ha.part"):
        (tmp_path / name).write_text("")
    (tmp_path / "data-new.7-1.ha.part").mkdir()
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.1-2.part", "movie.mp4.part"]


def test_an_empty_folder_in_a_files_place_gives_way_and_a_full_one_is_named(tmp_path):
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "mine").write_text("")
    write_whole(tmp_path / "empty", b"x")
    assert (tmp_path / "empty").read_bytes() == b"x"
    with pytest.raises(HeadAtlasError, match=r"cannot write .*full"):
        write_whole(tmp_path / "full", b"x")
    assert (tmp_path / "full" / "mine").exists()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(HeadAtlasError, match="no space left to write"):
        Folder.of(tmp_path).write("a.bin", b"x")


def test_locks_nest_within_a_process(tmp_path):
    with lock_folder(tmp_path, "run"), lock_folder(tmp_path, "run"):
        pass


def test_the_first_difference_is_named():
    there = {"model": {"chat_template": "a", "dtype": "float32"}, "seed": 1}
    assert difference(there, there) == ""
    now = {"model": {"chat_template": "b", "dtype": "bfloat16"}, "seed": 2}
    assert difference(there, now) == 'chat_template: "a" there, "b" now'
    assert difference({"a": 1}, {}) == "a: 1 there, null now"


@pytest.mark.parametrize("text", ["q-1", "scene_12", "a", "0"])
def test_plain_names_stay_as_they_are(text):
    assert safe_name(text) == text


def test_names_from_data_never_lead_out_and_never_meet():
    texts = [
        "", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "A", "a.", "a ", "con", "nul", "a\0b", "a\nb", "C:x",
        "~", "\u00e9", "e\u0301", "\ud800", "x" * 500, "x" * 501, "a-0123456789abcdef", "-rf", "*", "<b>", "%2e%2e",
        "a.png", "\u202egnp",
    ]  # fmt: skip
    names = [safe_name(text) for text in texts]
    names += [safe_name(name) for name in names]  # an id made to look like another's name
    assert len(set(names)) == len(names)
    for name in names:
        assert Path(name).name == name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
        assert 0 < len(name) <= 64
        assert not name.startswith("-")


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_is_replaced_whole_and_nothing_else_is_touched(tmp_path):
    for text in ("one", "two"):
        with replacing(tmp_path / "out", "the test") as folder:
            assert tree(folder) == []
            (folder / "a.txt").write_text(text)
            assert not (tmp_path / "out" / "a.txt").exists() or (tmp_path / "out" / "a.txt").read_text() == "one"
        assert tree(tmp_path) == ["out", "out/a.txt"]
    assert (tmp_path / "out" / "a.txt").read_text() == "two"
    foreign = tmp_path / ".out.mine.writing"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("keep me")
    left = tmp_path / ".out.crashed.writing"
    left.mkdir()
    (left / ".headatlas-writing").touch()
    with pytest.raises(RuntimeError), replacing(tmp_path / "out", "the test"):
        raise RuntimeError
    assert tree(tmp_path) == [".out.mine.writing", ".out.mine.writing/letter.txt", "out", "out/a.txt"]


def test_only_one_process_writes_a_folder(tmp_path):
    other = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from headatlas.errors import HeadAtlasError
        from headatlas.storage import replacing
        try:
            with replacing(Path(sys.argv[1]), "the test") as folder:
                (folder / "b.txt").write_text("other")
        except HeadAtlasError as error:
            print(error)
        """
    )
    with replacing(tmp_path / "out", "the test") as folder:
        (folder / "a.txt").write_text("mine")
        done = subprocess.run(
            [sys.executable, "-c", other, tmp_path / "out"], capture_output=True, text=True, check=True
        )
        assert "another process is writing the test" in done.stdout
        assert done.stdout.count("\n") == 1
    assert tree(tmp_path) == ["out", "out/a.txt"]


@pytest.mark.parametrize("killed_before", ["first rename", "second rename", "end"])
def test_a_crash_while_folders_are_exchanged_loses_neither(tmp_path, monkeypatch, killed_before):
    """`rename` stops the process, as SIGKILL would: nothing after it runs, no clean-up either."""
    with replacing(tmp_path / "out", "the test") as folder:
        (folder / "a.txt").write_text("old")
    script = textwrap.dedent(
        """
        import os, shutil, sys
        from pathlib import Path
        from headatlas import storage
        real, calls, stop = Path.rename, [], int(sys.argv[2])
        def rename(self, target):
            if len(calls) == stop:
                os._exit(9)
            calls.append(target)
            return real(self, target)
        Path.rename = rename
        if stop == 2:
            shutil.rmtree = lambda *a, **k: os._exit(9)
        with storage.replacing(Path(sys.argv[1]), "the test") as folder:
            (folder / "a.txt").write_text("new")
        """
    )
    stop = ["first rename", "second rename", "end"].index(killed_before)
    assert subprocess.run([sys.executable, "-c", script, tmp_path / "out", str(stop)], check=False).returncode == 9
    recover(tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == ("new" if killed_before == "end" else "old")
    with replacing(tmp_path / "out", "the test") as folder:
        (folder / "a.txt").write_text("newer")
    assert tree(tmp_path) == ["out", "out/a.txt"]
    assert (tmp_path / "out" / "a.txt").read_text() == "newer"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_of_the_file_system_the_lock_file_itself_locks(tmp_path, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    busy = (
        "import fcntl, sys; from headatlas.storage import *\n"
        "def refuse(*args): raise OSError(int(sys.argv[2]), 'no locks')\n"
        "fcntl.flock = refuse\n"
        "with lock_folder(Path(sys.argv[1]), 'run'): pass"
    )
    other = [sys.executable, "-c", busy, str(tmp_path), str(code)]
    with lock_folder(tmp_path, "run"), lock_folder(tmp_path, "run"):
        done = subprocess.run(other, capture_output=True, text=True, check=False)
        assert "another process is working in the run" in done.stderr
    subprocess.run(other, check=True)
    with locked(tmp_path / "data", "the dataset"), locked(tmp_path / "data", "the dataset"):
        assert (tmp_path / ".data.lock").exists()
    assert not (tmp_path / ".data.lock").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can make files")
def test_where_no_lock_can_be_made_no_other_process_is_blamed():
    with (
        pytest.raises(HeadAtlasError, match="cannot write the dataset /proc/x"),
        locked(Path("/proc/x"), "the dataset"),
    ):
        pass


def test_a_writers_lock_nests_and_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "deep" / "data"
    lock = path.parent / ".data.lock"
    with locked(path, "it"):
        with locked(path, "it"):
            assert lock.exists()
        assert lock.exists(), "the outer lock is still held"
        code = "import sys; from headatlas.storage import *\nwith locked(Path(sys.argv[1]), 'it'): pass"
        other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
        assert "another process is writing it" in other.stderr
    assert not (tmp_path / "new").exists()
    with locked(path, "it"):
        path.mkdir()
    assert [one.name for one in path.parent.iterdir()] == ["data"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("target", ["/dev/zero", "itself", "nowhere", "."])
def test_only_regular_files_are_read(tmp_path, target):
    """A run directory may come from somebody else: a device would fill the memory."""
    path = tmp_path / "x.json"
    path.symlink_to(path if target == "itself" else target)
    assert read_sealed(path) is None
    with pytest.raises(OSError):
        read_regular(path)
    with pytest.raises(FileNotFoundError):
        Folder.of(tmp_path).read("x.json")
    with pytest.raises(OSError):
        file_digest(path)


def test_what_lies_beside_a_folder_without_a_name(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert beside(Path("x/vsr"), ".review") == Path("x/vsr.review")
    assert beside(Path("."), ".review") == tmp_path / "a.review"
    assert beside(Path(".."), ".review") == tmp_path.with_name(f"{tmp_path.name}.review")
    with pytest.raises(HeadAtlasError, match="root of a disk"):
        beside(Path("/"), ".review")
    with pytest.raises(HeadAtlasError, match="root of a disk"), locked(Path("/"), "it"):
        pass


def test_places_to_write_to_are_checked_before_the_work_and_nothing_is_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for good in (tmp_path / "folder", tmp_path / "new" / "deep"):
        check_out_folder(good)
        check_out_file(good / "page.html")
    with pytest.raises(HeadAtlasError, match=r"file' must be a folder, got a file: name another"):
        check_out_folder(tmp_path / "file")
    with pytest.raises(HeadAtlasError, match=r"file/x' must be a folder, got a file \('.*file'\)"):
        check_out_folder(tmp_path / "file" / "x")
    with pytest.raises(HeadAtlasError, match=r"folder' must be a file, got a folder"):
        check_out_file(tmp_path / "folder")
    with pytest.raises(HeadAtlasError, match=r"file' must be a folder, got a file"):
        check_out_file(tmp_path / "file" / "page.html")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_place_without_permission_to_write_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(HeadAtlasError, match="may not be written; name another folder"):
        check_out_folder(tmp_path / "new")
