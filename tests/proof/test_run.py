"""Families are checked in processes: a crash or a hang of one is reported, and the others keep their results."""

import json
import subprocess
import sys

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.proof import FamilyReport, check_families, load, save

WORKER = """
import sys, os, json, time
for line in sys.stdin:
    family = line.strip()
    if family == "git": os._exit(7)
    if family == "fuyu": time.sleep(60)
    print(json.dumps({"family": family, "status": "proven"}), flush=True)
"""


@pytest.fixture
def worker(monkeypatch):
    """Workers that prove everything, die at git and hang at fuyu."""
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", WORKER], **more))


def test_a_crash_is_told_and_the_rest_goes_on(worker):
    seen = []
    reports = check_families(["llava", "git", "aria"], jobs=1, progress=lambda *told: seen.append(told[1:]))
    assert [(r.family, r.status) for r in reports.values()] == [
        ("llava", "proven"),
        ("git", "fails"),
        ("aria", "proven"),
    ]
    assert "ended with code 7" in reports["git"].reason
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_hang_is_ended(worker):
    reports = check_families(["fuyu", "aria"], jobs=2, limit=3.0)
    assert "took more than 3 s" in reports["fuyu"].reason
    assert reports["aria"].status == "proven"


def test_a_real_family_in_a_real_process():
    report = check_families(["llava"])["llava"]
    assert report.status == "proven"
    assert report.model == "LlavaForConditionalGeneration"


def test_unknown_families_are_told_before_anything_runs(worker):
    with pytest.raises(HeadAtlasError, match="got clip, nonsense"):
        check_families(["llava", "clip", "nonsense"])


def test_reports_are_saved_and_loaded(tmp_path):
    path = tmp_path / "deep" / "models.json"
    save({"llava": FamilyReport("llava", status="proven", seconds=1.5)}, path, 2.0)
    reports, about = load(path)
    assert reports == [FamilyReport("llava", status="proven", seconds=1.5)]
    assert about["seconds"] == 2.0
    assert set(about["versions"]) == {"transformers", "torch"}


def test_other_files_are_refused(tmp_path):
    with pytest.raises(HeadAtlasError, match=r"none\.json does not exist; write it with"):
        load(tmp_path / "none.json")
    for text in ("{", "[]", json.dumps({"families": [{"name": "llava"}]})):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(
            HeadAtlasError, match=r"other\.json must be a file that `headatlas models check --json` writes"
        ):
            load(tmp_path / "other.json")
