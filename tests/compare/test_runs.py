"""Which runs are compared, their names, and the settings in which they differ."""

import json
import re

import numpy as np
import pytest
from command_line import headatlas
from compare_runs import add_atlas
from locked_elsewhere import locked_elsewhere
from small_study import MODEL
from synthetic_run import write_run

from headatlas.cogvsr import FUNCTIONS
from headatlas.compare.runs import differences, read_models
from headatlas.errors import HeadAtlasError
from headatlas.report.one_task import ONE_TASK


def change(run, **settings):
    path = run / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_scores_and_selected_heads_come_as_arrays(one, other):
    models = read_models([one, other])
    assert [m.label for m in models] == ["one", "other"]
    assert [m.shape for m in models] == [(6, 8), (9, 4)]
    model = models[0]
    rows = model.run.tables["selection"]
    row = rows[(rows["scorer"] == "paper") & (rows["selector"] == "null")].iloc[0]
    mask = model.selected["paper"][FUNCTIONS.index(row["function"])]
    assert {f"L{a}.H{b}" for a, b in np.argwhere(mask)} == set(row["heads"].split())
    table = model.run.tables["scores"]
    found = table[(table["scorer"] == "linear") & (table["layer"] == 2) & (table["head"] == 7)]
    np.testing.assert_allclose(model.scores["linear"][:, 2, 7], found["value"])


def test_one_run_or_one_twice_is_refused(one):
    with pytest.raises(HeadAtlasError, match="at least two runs"):
        read_models([one])
    with pytest.raises(HeadAtlasError, match="2 times"):
        read_models([one, one / ".." / one.name])


def test_a_folder_that_is_no_run(one, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadAtlasError, match="must be a run directory, got a folder"):
        read_models([one, tmp_path / "empty"])
    with pytest.raises(HeadAtlasError, match="must be a run directory"):
        read_models([one, tmp_path / "nowhere"])


def test_a_run_that_another_process_is_writing_is_refused(one, twin):
    (twin / ".headatlas.lock").touch()
    with locked_elsewhere(twin), pytest.raises(HeadAtlasError, match=r"another process is working in the run .*twin"):
        read_models([one, twin])
    assert len(read_models([one, twin])) == 2
    assert not (one / ".headatlas.lock").exists()  # nothing is written


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(one, twin):
    (twin / "claims.json").unlink()
    (twin / "results" / "selection.csv").unlink()
    with pytest.raises(
        HeadAtlasError, match=r"results/selection\.csv, claims\.json is missing.*headatlas study org/twin --out"
    ):
        read_models([one, twin])


def test_the_command_that_finishes_a_run_says_its_settings_and_quotes_its_folder(one, tmp_path):
    out = tmp_path / "half a run"
    headatlas(
        "evaluate", "--model", MODEL, "--n", 40, "--quick", "--dtype", "bfloat16", "--set", "alphas=1,2", "--out", out
    )
    command = f"headatlas study {MODEL} --quick --n 40 --dtype bfloat16 --set 'alphas=[1.0, 2.0]' --out '{out}'"
    with pytest.raises(HeadAtlasError, match=f"run `{re.escape(command)}` first"):
        read_models([one, out])


def test_a_table_that_headatlas_did_not_write(one, twin):
    path = twin / "results" / "scores.csv"
    path.write_text(path.read_text().replace("math_reasoning", "sorcery"))
    with pytest.raises(HeadAtlasError, match="must hold scores of the eight functions, got the function 'sorcery'"):
        read_models([one, twin])


def test_a_selected_head_that_has_no_score(one, twin):
    path = twin / "results" / "selection.csv"
    path.write_text(path.read_text().replace("L0.H0", "L99.H0"))
    change(twin, selector="elbow")
    with pytest.raises(HeadAtlasError, match=r"L99\.H0, which its scores do not have"):
        read_models([one, twin])


def test_models_of_one_name_are_told_apart_by_their_folders(tmp_path):
    runs = [write_run(tmp_path / name, model="org/one") for name in ("a", "b")]
    assert [m.label for m in read_models(runs)] == ["one (a)", "one (b)"]
    deep = [write_run(tmp_path / name / "run", model="org/one") for name in ("c", "d")]
    assert [m.label for m in read_models(deep)] == ["one (run)", "one (run) 2"]


def test_runs_studied_alike_do_not_differ(one, twin):
    change(twin, shape=[12, 12], d_head=64, family="another", device="cuda", threads=96)
    assert differences(read_models([one, twin])).empty


def test_every_difference_is_told_with_what_it_means(one, twin):
    data = json.loads((twin / "settings.json").read_text())["data"] | {"fingerprint": "0000", "n": 5}
    change(twin, seed=7, data=data, operation="zero")
    found = differences(read_models([one, twin]))
    assert set(found["setting"]) == {"seed", "data.fingerprint", "operation"}
    row = found[(found["setting"] == "operation") & (found["model"] == "one")].iloc[0]
    assert row["value"] == "not recorded"
    assert "drops" in row["meaning"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_damaged_atlas_is_told_in_one_line(one, twin, content):
    add_atlas(twin)
    (twin / "atlas.npz").write_bytes(content)
    with pytest.raises(HeadAtlasError, match="headatlas score --again"):
        read_models([one, twin])


def test_per_step_terms_come_with_the_atlas(one, twin):
    add_atlas(twin)
    models = read_models([one, twin])
    assert models[0].atlas == {}
    assert all(scores.per_sample is not None for scores in models[1].atlas.values())


def test_runs_with_functions_and_without_are_not_compared(one, twin):
    change(twin, functions=ONE_TASK)
    with pytest.raises(HeadAtlasError, match=r"twin' name no functions and those of .*one' do"):
        read_models([one, twin])
