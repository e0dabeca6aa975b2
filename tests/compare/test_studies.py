"""A study of each of several models and their comparison."""

import pytest

from headatlas.compare import run_studies, studies
from headatlas.compare.studies import folders
from headatlas.errors import HeadAtlasError
from headatlas.vlm.loading import Loading


def test_folders_are_the_last_part_of_the_names():
    assert folders(["ref-llava", "Qwen/Qwen2.5-VL-3B-Instruct", "/models/mine/"]) == [
        "ref-llava",
        "Qwen2.5-VL-3B-Instruct",
        "mine",
    ]
    assert folders(["a/vlm", "b/vlm", "c"]) == ["a--vlm", "b--vlm", "c"]
    assert folders(["/x/vlm", "y"]) == ["vlm", "y"]
    assert folders(["/x/vlm/..", "y"]) == ["x", "y"]
    assert folders(["x/comparison", "report.html"]) == ["model-comparison", "model-report.html"]


def test_several_means_different_ones():
    with pytest.raises(HeadAtlasError, match="at least two"):
        folders(["ref-llava"])
    with pytest.raises(HeadAtlasError, match="'a' 2 times"):
        folders(["a", "b", "a"])


def test_a_name_that_is_no_model_is_told_before_anything_runs(tmp_path):
    with pytest.raises(HeadAtlasError, match="nobody/nothing"):
        run_studies(["ref-llava", "nobody/nothing"], tmp_path / "out", quick=True)
    assert not (tmp_path / "out").exists()


def test_each_model_is_studied_in_its_own_folder_with_the_same_settings(tmp_path, monkeypatch):
    """The stages have tests in tests/study; here they are replaced by a copy of a finished run."""
    ran = []

    def stages(study):
        ran.append((study.run.root.name, study.settings.model, study.settings.n))
        shown.append(study.progress is not None)

    shown, compared = [], []
    monkeypatch.setattr(studies, "run_stages", stages)
    monkeypatch.setattr(Loading, "check", lambda loading, name: None)
    out = tmp_path / "out"
    monkeypatch.setattr(studies, "compare_runs", lambda runs, out: compared.append(runs) or out / "report.html")
    page = run_studies(["one", "org/two"], out, quick=True, n=40, progress=lambda *_: None)
    assert ran == [("one", "one", 40), ("two", "org/two", 40)]
    assert shown == [True, True]
    assert page == out / "report.html"
    assert compared == [[out / "one", out / "two"]]
