"""40 runs with damaged files: every command gives the same numbers or one line; a study that is continued repairs all."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path

import pytest
from command_line import mistake
from small_study import MODEL, OPTIONS

from .conftest import one_line
from .damage import bytes_changed, json_bytes_changed

CASES = 40
EVERY_TIME = 0  # a case takes 15 seconds; tests/study damages one of each kind every time

KINDS = (
    "run.json", "settings.json", "timings.json", "claims.json", "atlas.json", "atlas.npz", "report.html", "stages/*.json",
    "results/*.csv", "results/*.csv", "results/*.json", "answers/*.parquet", "answers/*.parquet", "attention/*/settings.json",
    "attention/*/steps.parquet", "attention/*/parts/*", "capture/steps.parquet", "capture/parts/*", "capture/z.zarr/**/zarr.json",
    "capture/z.zarr/*/c/**/*", "charts/*", "data/*.parquet", "examples/**/*.png", "sweep/*", "sweep/*", "explorer/*",
    "*/.headatlas.lock",
)  # fmt: skip
"""Every kind of file that a run directory holds."""


@pytest.fixture(scope="module")
def whole(finished_study, tmp_path_factory):
    """The finished study with a sweep and a site of examples in it."""
    run = Path(shutil.copytree(finished_study, tmp_path_factory.mktemp("whole") / "run"))
    assert mistake("sweep", "heads", "--out", run) is None
    assert mistake("explore", MODEL, "--run", run, "--export", run / "explorer", "--examples", 1) is None
    return run


def damage(path: Path, rng: random.Random) -> None:
    how = rng.choice(("delete", "empty", "bytes", "bytes", "bytes", "json", "folder", "link", "other"))
    data = path.read_bytes()
    path.unlink()
    if how == "empty" or (how == "bytes" and not data):
        path.touch()
    elif how == "bytes":
        path.write_bytes(bytes_changed(data, rng))
    elif how == "json":
        try:
            path.write_bytes(json_bytes_changed(data, rng))
        except ValueError:
            path.write_bytes(data.replace(b"1", b"2", 1) + b"\n")
    elif how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to(rng.choice((path.name, "/dev/zero", "nowhere")))
    elif how == "other":  # another file of the same kind in its place
        others = sorted(one for one in path.parent.glob(f"*{path.suffix}") if one.is_file())
        shutil.copy(rng.choice(others), path) if others else path.write_bytes(os.urandom(100))


def content(run: Path) -> dict[str, bytes]:
    """What a study says: its tables and claims."""
    files = [*(run / "results").iterdir(), run / "claims.json"]
    return {path.name: path.read_bytes() for path in files}


def comparison(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "comparison").glob("*.csv"))}


@pytest.fixture(scope="module")
def compared(whole, finished_study, tmp_path_factory):
    """The tables of the undamaged comparison."""
    out = tmp_path_factory.mktemp("compared") / "out"
    assert mistake("compare", whole, finished_study, "--out", out) is None
    return comparison(out)


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_run_is_repaired_or_refused_by_name(case, whole, finished_study, compared, tmp_path):
    rng = random.Random(case)
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    chosen = [KINDS[case % len(KINDS)], *rng.sample(KINDS, rng.choice((0, 0, 1, 3)))]
    hit = []
    for pattern in chosen:
        files = sorted(path for path in run.glob(pattern) if path.is_file() and not path.is_symlink())
        if files:
            hit.append(rng.choice(files))
            damage(hit[-1], rng)
    names = [str(path.relative_to(run)) for path in hit]
    if case % 2:
        line = mistake("compare", run, finished_study, "--out", tmp_path / "both")
        if line is None:
            assert comparison(tmp_path / "both") == compared, f"another comparison, and not a word: {names}"
        else:
            one_line(line)
    else:
        line = mistake("explore", MODEL, "--run", run, "--export", tmp_path / "site", "--examples", 1)
        assert line is None or one_line(line)
    for words in (("report", "--out", run), ("study", MODEL, "--out", run, *OPTIONS)):
        line = mistake(*words)
        if line is not None:
            assert any(re.search(re.escape(path.name), line) for path in hit) or "move it away" in one_line(line), (
                names,
                line,
            )
            return
    assert content(run) == content(whole), f"other numbers: {names}"
