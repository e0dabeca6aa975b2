import pytest

from headatlas.cogvsr.export import FORMATS, export
from headatlas.errors import HeadAtlasError


def test_an_export_replaces_an_export_and_nothing_else(data, tmp_path):
    folder = export(data, "jsonl", tmp_path / "out")
    assert export(data.split("P"), "cogqa", folder) == folder
    assert not (folder / "questions.jsonl").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(HeadAtlasError, match="it holds other things"):
        export(data, "hub", tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_a_failure_leaves_what_was_there(data, tmp_path, monkeypatch):
    folder = export(data, "jsonl", tmp_path / "out")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS._things, "jsonl", fail)
    with pytest.raises(HeadAtlasError, match="No space left"):
        export(data, "jsonl", folder)
    assert (folder / "questions.jsonl").is_file()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_unknown_format_names_the_known(data, tmp_path):
    with pytest.raises(HeadAtlasError, match="format must be one of cogqa, hub, jsonl; got 'csv'"):
        export(data, "csv", tmp_path / "out")
