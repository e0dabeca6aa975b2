"""Models that ship without the tensors of their base: put together they are the same files, bit for bit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import headatlas as ha
from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.reference.shared_weights import OWN, SHARED, WEIGHTS, assembled, split


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """ref-llava with another embedding."""
    monkeypatch.setenv("HEADATLAS_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(shipped.path("ref-llava"), tmp_path / "whole")
    tensors = load_file(folder / WEIGHTS)
    (name,) = [name for name in tensors if "embed_tokens" in name]
    save_file(tensors | {name: tensors[name] * 2}, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.fixture
def parts(whole, tmp_path):
    return split(whole, "ref-llava", tmp_path / "parts")


def test_put_together_it_is_the_model_that_was_split(whole, parts):
    assert len(load_file(parts / OWN)) == 1
    made = assembled(parts)
    for file in whole.iterdir():
        assert (made / file.name).read_bytes() == file.read_bytes(), file.name
    assert assembled(parts) == made == shipped.complete(parts)
    assert ha.load_vlm(parts).fingerprint == ha.load_vlm(whole).fingerprint != ha.load_vlm("ref-llava").fingerprint


def test_another_file_is_another_model(parts):
    made = assembled(parts)
    tensors = load_file(parts / OWN)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, parts / OWN)
    assert assembled(parts) != made


def test_what_does_not_belong_together_is_refused(parts, whole, tmp_path):
    record = json.loads((parts / SHARED).read_text())
    (parts / SHARED).write_text(json.dumps(record | {"base_weights": "0" * 64}))
    with pytest.raises(HeadAtlasError, match="'ref-llava' are other ones"):
        assembled(parts)
    (parts / SHARED).write_text(json.dumps(record | {"tensors": [*record["tensors"], "more"]}))
    with pytest.raises(HeadAtlasError, match="more is missing"):
        assembled(parts)
    (parts / SHARED).write_text("[]")
    with pytest.raises(HeadAtlasError, match="is damaged"):
        assembled(parts)
    save_file({"other": torch.zeros(2)}, whole / WEIGHTS)
    with pytest.raises(HeadAtlasError, match="shares no tensor"):
        split(whole, "ref-llava", tmp_path / "none")
    assert not (tmp_path / "none").exists()
