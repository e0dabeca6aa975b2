import os

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import cache_folder, open_origin


def test_folders_and_files(tmp_path):
    for name in ("b/10.txt", "b/2.txt", "a/1.txt", ".hidden/3.txt", "b/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    origin = open_origin(tmp_path, seed=4)
    assert [str(p.relative_to(tmp_path)) for p in origin.files("*.txt")] == ["a/1.txt", "b/2.txt", "b/10.txt"]
    assert [p.name for p in origin.files("*.json", "*")] == ["x.json", "1.txt", "2.txt", "10.txt"]
    assert origin.seed == 4
    one = open_origin(tmp_path / "b" / "x.json")
    assert (one.root, one.files("*.txt")) == (tmp_path / "b", [tmp_path / "b" / "x.json"])
    with pytest.raises(HeadAtlasError, match=r"must hold \*.tsv, but holds .*a, b"):
        origin.need("*.tsv")


def test_a_url_is_kept_in_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADATLAS_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    server.answers["/dev.jsonl?x=1"] = [(200, b"{}")]
    origin = open_origin(f"{server.url}/dev.jsonl?x=1")
    assert origin.file.read_text() == "{}"
    assert origin.file.is_relative_to(tmp_path / "cache")
    assert origin.file.suffix == ".jsonl"
    with pytest.raises(HeadAtlasError, match=r"must be the URL of a table .* got .zip"):
        open_origin(f"{server.url}/all.zip")
    with pytest.raises(HeadAtlasError, match="the server said 404"):
        open_origin(f"{server.url}/none.jsonl")


def test_a_hub_id_is_fetched_by_the_hubs_own_client(tmp_path, monkeypatch):
    asked = []

    def snapshot(name, **options):
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert open_origin("owner/name@v1", cache=tmp_path / "c", patterns=("*.json",)).root == tmp_path
    place = tmp_path / "c" / "hub" / "owner--name--v1"  # its own files: links out of a folder are not followed
    options = {"repo_type": "dataset", "revision": "v1", "allow_patterns": ["*.json"], "local_dir": place}
    assert asked == [("owner/name", options)]


def test_what_is_nowhere_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        HeadAtlasError, match="the Hugging Face dataset 'no/such-set-here' could not be downloaded"
    ) as caught:
        open_origin("no/such-set-here")
    assert "\n" not in str(caught.value)
    with pytest.raises(HeadAtlasError, match="no such file or folder"):
        open_origin(tmp_path / "gone" / "deep" / "er")


def test_pipes_devices_and_links_out_of_the_folder_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "secret.json").write_text('[{"password": 1}]')
    folder = tmp_path / "set"
    folder.mkdir()
    os.mkfifo(folder / "b.json")
    (folder / "a.json").symlink_to(tmp_path / "secret.json")
    for source in (tmp_path / "pipe.jsonl", "/dev/zero"):
        with pytest.raises(HeadAtlasError, match="is no regular file"):
            open_origin(source)
    with pytest.raises(HeadAtlasError, match=r"a\.json must not be a link that leads out of"):
        open_origin(folder).need("*.json")
    (folder / "a.json").unlink()
    with pytest.raises(HeadAtlasError, match=r"must hold \*.json, but holds b.json"):
        open_origin(folder).need("*.json")
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(HeadAtlasError, match="no such file"):
            open_origin(name)


def test_the_cache_may_be_named_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HEADATLAS_CACHE", "~/my cache")
    assert cache_folder() == tmp_path / "my cache"
    monkeypatch.delenv("HEADATLAS_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "headatlas"


def test_digits_that_are_no_numbers_are_names(tmp_path):
    for name in ("1\u00b23.txt", "1\u00b210.txt", "\u00b2.txt", "1a.txt"):
        (tmp_path / name).write_text("x")
    names = [path.name for path in open_origin(tmp_path).files("*.txt")]
    assert names.index("1\u00b23.txt") < names.index("1\u00b210.txt")
    assert len(names) == 4
