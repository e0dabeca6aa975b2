import pickle

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.storage import Folder


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
