"""The whole study: its files, that it continues after SIGKILL with the same numbers, and that splits stay separate."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import headatlas

import headatlas as ha
from headatlas.cogvsr import FUNCTIONS, SPATIAL
from headatlas.cogvsr.functions import TITLES
from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS, VERDICTS
from headatlas.storage import LOCK
from headatlas.study import kept_settings, make_settings, open_study, run_command, run_stages
from headatlas.study.run import damaged_files
from headatlas.study.stages import STAGES
from headatlas.study.study import Study


def table(run, name):
    path = run / "results" / f"{name}.csv"
    return pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()


def files_of(run):
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != LOCK}


def test_everything_is_there(finished):
    for name in ("claims.json", "atlas.json", "report.html", "settings.json", "timings.json", "results/examples.json"):
        assert (finished / name).exists(), name
    for name in RESULTS:
        assert (finished / "results" / f"{name}.csv").exists(), name
    assert not list(finished.rglob("*.part"))
    assert {t["stage"] for t in json.loads((finished / "timings.json").read_text())} >= set(STAGES) - {"report"}


def test_every_claim_is_judged_by_the_winning_finder_and_the_papers(finished):
    claims = json.loads((finished / "claims.json").read_text())["claims"]
    assert {c["id"] for c in claims} == {"C1", "C2", "C3", "C4", "C5a", "C5b"}
    assert len(claims) == 5 * 2 + 1
    assert {c["scorer"] for c in claims} == {"specificity", "paper", ""}
    assert {c["verdict"] for c in claims} <= set(VERDICTS)


def test_scores_are_those_of_the_atlas(finished):
    atlas = ha.Atlas.load(finished)
    scores = table(finished, "scores")
    for (scorer, function), rows in scores.groupby(["scorer", "function"]):
        values = atlas.scores[scorer].of(function)
        np.testing.assert_allclose(values[rows["layer"], rows["head"]], rows["value"])
    assert set(scores["function"]) == set(FUNCTIONS)


def test_ablation_scores_can_be_recomputed_from_the_cached_answers(finished):
    """Exact damage of one head: the mean fall in log-probability between two answers tables on disk."""
    tables = {}
    for path in (finished / "answers").glob("*.parquet"):
        told = json.loads(pq.read_schema(path).metadata[b"headatlas"])
        if told["split"] == "S" and told["mode"] == "forced" and told["arm"] == "original":
            tables[told["name"]] = pd.read_parquet(path)
    before, after = tables["original"], tables["mean L2.H3"]
    fall = before["logprob"] - after["logprob"]
    for function in FUNCTIONS:
        rows = before["functions"].str.split("|").map(lambda names, f=function: f in names)
        scores = table(finished, "scores")
        kept = scores[(scores["scorer"] == "ablation") & (scores["function"] == function)]
        value = kept[(kept["layer"] == 2) & (kept["head"] == 3)]["value"].item()
        # A function that has no step in this small split has score 0.
        assert value == pytest.approx(fall[rows].mean() if rows.any() else 0.0, abs=1e-5)


def test_heads_are_never_chosen_on_the_split_they_are_evaluated_on(finished):
    """The atlas of a study whose split E is another one is the same: nothing of E goes into scores or selections."""
    chosen_on = set()
    for path in (finished / "answers").glob("*.parquet"):
        told = json.loads(pq.read_schema(path).metadata[b"headatlas"])
        if told["name"].startswith("mean L") and told["name"].count(" ") == 1:
            chosen_on.add(told["split"])
    assert chosen_on == {"S"}
    atlas = json.loads((finished / "atlas.json").read_text())
    assert set(atlas["scores"]) == {"specificity", "paper", "linear", "ablation", "attention"}


def test_head_sets_are_capped(finished):
    negative = table(finished, "negative")
    assert negative["k"].max() <= round(0.1 * 48)
    assert set(negative[negative["n_random"] > 0]["function"]) <= set(SPATIAL)


def test_a_second_run_does_nothing(finished):
    before = files_of(finished)
    assert run_stages(open_study(kept_settings(finished), finished)) == []
    assert before == files_of(finished)


def test_a_run_directory_of_other_settings_is_refused(finished, model, small):
    told = r"seed=1, this one has seed=2: name another folder, or continue it with: (headatlas study .*)$"
    with pytest.raises(HeadAtlasError, match=told) as refused:
        open_study(make_settings(model, **(small | {"seed": 2})), finished)
    command = re.search(told, str(refused.value))
    assert command is not None
    assert "report: " in headatlas(*shlex.split(command[1])[1:]).output  # it is the command that continues the run


@pytest.mark.parametrize(("option", "told"), [(["--set", "n_random=3"], "n_random=2, got 3"), (["--n", "50"], "n=48")])
def test_a_stage_of_a_run_of_other_settings_is_refused(finished, option, told):
    command = [sys.executable, "-m", "headatlas", "score", "--out", str(finished), *option]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_out_of_order_names_the_missing_command(tmp_path, model, small):
    study = open_study(make_settings(model, **small), tmp_path / "new")
    with pytest.raises(HeadAtlasError, match=r"run `headatlas capture --out .*new` first"):
        run_command(study, "score")


def test_examples_show_answers_before_and_after(finished):
    examples = json.loads((finished / "results/examples.json").read_text())
    for example in examples:
        assert (finished / example["image"]).exists()
        assert {step["function"] for step in example["steps"]} <= set(TITLES)


def test_killed_while_it_answers_it_goes_on_and_ends_with_the_same_numbers(finished, tmp_path):
    """Killed in the stage `ablate`; `tests/campaigns` kills whole commands at random times."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for name in list(STAGES)[list(STAGES).index("ablate") :]:
        (out / "stages" / f"{name}.json").unlink(missing_ok=True)
    for path in answers_of(out, "E"):
        path.unlink()
    code = "import sys; from headatlas.study import *; run_stages(open_study(kept_settings(sys.argv[1]), sys.argv[1]))"
    command = [sys.executable, "-c", code, str(out)]
    process = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(answers_of(out, "E")) < 12:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (out / "stages" / "ablate.begun").exists()
    subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)
    for path in sorted((finished / "results").iterdir()):
        assert path.read_bytes() == (out / "results" / path.name).read_bytes(), path.name
    assert (finished / "claims.json").read_bytes() == (out / "claims.json").read_bytes()


def answers_of(run, split):
    """The answers tables of a split, or of a part of it."""
    kept = []
    for path in (run / "answers").glob("*.parquet"):
        told = json.loads(pq.read_schema(path).metadata[b"headatlas"])
        if told["split"].startswith(split):
            kept.append(path)
    return kept


DAMAGED = (
    *("run.json", "settings.json", "stages/score.json", "results/selection.csv", "results/negative.csv", "atlas.npz"),
    *("atlas.json", "claims.json", "capture/z.zarr/all/c/0/0/0/0", "capture/steps.parquet", "timings.json"),
)


def test_damaged_files_are_computed_again_with_the_same_numbers(finished, tmp_path):
    """All files at once, each damaged in another way: none is read as data."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    answers = sorted((out / "answers").glob("*.parquet"))[::40]
    for i, path in enumerate([*(out / name for name in DAMAGED if name != "run.json"), *answers]):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        how = i % 4
        path.unlink()
        if how == 3:
            path.mkdir()
        elif how:
            path.write_bytes([b"", data[: len(data) // 2], data][how - 1] if how < 3 else data)
    assert set(DAMAGED) & set(damaged_files(out)) == {
        name for name in DAMAGED if name != "run.json" and not name.startswith("capture/")
    } - {"atlas.npz", "atlas.json"}  # listed in the marker of `score`, which is damaged itself
    run_stages(open_study(kept_settings(out), out))
    for path in sorted((finished / "results").iterdir()):
        assert path.read_bytes() == (out / "results" / path.name).read_bytes(), path.name
    assert (finished / "claims.json").read_bytes() == (out / "claims.json").read_bytes()
    assert ha.Atlas.load(out).scores.keys() == ha.Atlas.load(finished).scores.keys()
    acts = [ha.Activations.open(run / "capture") for run in (out, finished)]
    np.testing.assert_array_equal(acts[0].z("all"), acts[1].z("all"))


def test_settings_survive_the_loss_of_run_json(finished, tmp_path):
    shutil.copytree(finished / "stages", tmp_path / "run" / "stages")
    assert kept_settings(tmp_path / "run") == kept_settings(finished)
    shutil.rmtree(tmp_path / "run" / "stages")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(HeadAtlasError, match="all damaged"):
        kept_settings(tmp_path / "run")


def test_a_run_is_continued_when_its_dataset_was_renamed_or_is_given(tiny_vlm_dir, tmp_path):
    ha.cogvsr.load("cogvsr-mini").save(tmp_path / "before")
    ha.cogvsr.load("scenes", n=40, seed=7).save(tmp_path / "other")
    run, words = tmp_path / "run", ("--model", tiny_vlm_dir, "--quick", "--out", tmp_path / "run")
    headatlas("evaluate", "--data", tmp_path / "before", *words)
    (tmp_path / "before").rename(tmp_path / "after")
    before = json.loads((run / "settings.json").read_text())
    study = make_settings(str(tiny_vlm_dir), quick=True, data=str(tmp_path / "after"))
    assert run_command(open_study(study, run), "evaluate") == []  # the same questions by another name
    given = ha.cogvsr.load(tmp_path / "after")
    assert Study(study.model_copy(update={"data": f"given:{given.fingerprint}"}), run, data=given).settings.data == str(
        tmp_path / "before"
    )
    assert (
        "Capture"
        in headatlas("study", tiny_vlm_dir, "--data", tmp_path / "before", *words[2:], "--dry-run").output.title()
    )
    assert json.loads((run / "settings.json").read_text()) == before
    with pytest.raises(HeadAtlasError, match=r"data='.*before', this one has data='.*other'"):
        open_study(study.model_copy(update={"data": str(tmp_path / "other")}), run)
