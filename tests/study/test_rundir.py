import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.study.rundir import RunDir


def test_tables_come_back_as_they_were(tmp_path):
    run = RunDir(tmp_path / "run")
    table = pd.DataFrame({"name": ["a", "b"], "value": [0.1 + 0.2, 1 / 3], "hole": [np.nan, 1.0]})
    run.write_table("t", table)
    pd.testing.assert_frame_equal(run.read_table("t"), table, rtol=1e-15)


def test_absent_and_empty_tables_are_empty(tmp_path):
    run = RunDir(tmp_path)
    run.write_table("nothing", pd.DataFrame())
    assert run.read_table("nothing").empty
    assert run.read_table("never").empty


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    run.write_text("a.txt", "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        run.write_text("a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_half_written_files_are_cleared_on_opening(tmp_path):
    RunDir(tmp_path).root.joinpath("x.json.part").write_text("{")
    RunDir(tmp_path)
    assert not (tmp_path / "x.json.part").exists()


def test_a_stage_is_done_only_when_its_block_ends_and_its_inputs_are_the_same(tmp_path):
    run = RunDir(tmp_path)
    with pytest.raises(KeyboardInterrupt), run.running("s", "f1"):
        raise KeyboardInterrupt
    assert not run.is_done("s", "f1")
    with run.running("s", "f1"):
        pass
    assert run.is_done("s", "f1")
    assert not run.is_done("s", "f2")
    (told,) = run.timings(("s", "never"))
    assert told["resumed"] is True
    assert told["seconds"] >= 0


def test_a_run_of_something_else_is_refused(tmp_path):
    run = RunDir(tmp_path)
    run.write_json("settings.json", {"model": "a", "seed": 0})
    run.claim({"model": "a", "seed": 0})
    with pytest.raises(HeadAtlasError, match="model='a', this one has model='b'"):
        run.claim({"model": "b", "seed": 0})


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(HeadAtlasError, match="expected a folder"):
        RunDir(tmp_path / "f")
