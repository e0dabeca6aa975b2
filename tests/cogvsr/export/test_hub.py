import datasets
import pytest
import yaml

from headatlas.cogvsr import CogVSR, load
from headatlas.cogvsr.export import export, push
from headatlas.cogvsr.export.hub import card
from headatlas.errors import HeadAtlasError


def test_a_folder_that_others_read_too(data, tmp_path):
    folder = export(data, "hub", tmp_path / "out")
    assert load(folder).fingerprint == data.fingerprint
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    (files,) = front["configs"][0]["data_files"]
    assert list(folder.glob(files["path"]))
    assert front["size_categories"] == ["n<1K"]
    read = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert read[files["split"]][0]["images"][0].size == (96, 96)


def test_the_card_counts_beside_the_paper_and_names_licences(data):
    text = card(data)
    assert "| questions | 6 | 1,142 |" in text
    assert "| steps | 12 | 3,759 |" in text
    assert "| steps: Spatial perception | 6 (50.00 %) | 1,026 (27.29 %) |" in text
    assert "576 (15.32 %)" in text
    assert "| hand | 6 | 12 | not known | not known | not known |" in text
    assert "Keep this dataset private" in text
    assert "<script>" not in text
    assert "| E | 2 | 4 |" in text


def test_own_scenes_are_free():
    text = card(load("scenes", n=4))
    assert "license: apache-2.0" in text
    assert "| HeadAtlas scenes | 4 |" in text
    assert "Keep this dataset private" not in text


def test_a_source_that_only_begins_like_ours_is_not_ours(data):
    strange = CogVSR.from_questions(q.model_copy(update={"source": "scenes-of-somebody"}) for q in data)
    assert "| scenes-of-somebody | 6 | 12 | not known | not known | not known |" in card(strange)


DONE: list = []


class Hub:
    """Stands in for the hub's client, which needs a network."""

    def create_repo(self, repo, **options):
        DONE.append((repo, options))
        return f"https://hub/{repo}"

    def upload_folder(self, **options):
        DONE.append(sorted(path.name for path in options["folder_path"].iterdir()))


def test_upload_needs_rights_and_a_token(data, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(HeadAtlasError, match=r"every source must allow redistribution, got hand \(not known\)"):
        push(data, "me/set")
    with pytest.raises(HeadAtlasError, match="needs a Hugging Face token"):
        push(data, "me/set", rights=True)
    assert DONE == []
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    assert push(data, "me/set", rights=True) == "https://hub/me/set"
    (repo, options), names = DONE
    assert (repo, options["private"]) == ("me/set", True)
    assert {"README.md", "data"} <= set(names)


def test_a_hub_that_refuses_is_one_line(data, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError("401\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuse)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    with pytest.raises(HeadAtlasError, match=r"the hub refused 'me/set' \(OSError: 401\)"):
        push(data, "me/set", rights=True)
