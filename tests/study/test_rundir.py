import errno
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from locked_elsewhere import locked_elsewhere

from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS
from headatlas.study.rundir import RunDir

RECORD = {"settings": {"seed": 1}, "store": None}


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.begin(RECORD)
    return run


def finish(run, stage="s", fingerprint="f1"):
    with run.running(stage, fingerprint):
        run.write_text("results/t.csv", "a,b\n1,2\n")
        (run.root / "charts").mkdir(exist_ok=True)
        (run.root / "charts" / "c.svg").write_text("<svg/>")


def test_tables_come_back_as_they_were(run):
    values = {"value": [0.1 + 0.2, 1 / 3], "accuracy": [np.nan, 1.0], "chosen": [True, False]}
    table = pd.DataFrame({"what": "alpha", "scorer": "paper", "function": "spatial_perception", **values})
    run.write_table("tuning", table)
    pd.testing.assert_frame_equal(run.read_table("tuning"), table, rtol=1e-15, check_dtype=False)


def test_absent_and_empty_tables_are_empty(run):
    run.write_table("tuning", RESULTS["tuning"].empty())
    assert run.read_table("tuning").empty
    assert run.read_table("agreement").empty


def test_a_write_that_fails_leaves_the_old_file(run, monkeypatch):
    run.write_text("a.txt", "old")
    monkeypatch.setattr(
        "os.replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    )
    with pytest.raises(HeadAtlasError, match="no space left to write"):
        run.write_text("a.txt", "new")
    assert (run.root / "a.txt").read_text() == "old"


def test_opening_writes_and_removes_nothing(tmp_path):
    """Not in a folder that is no run, and not what others wrote."""
    RunDir(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    mine = [tmp_path / "movie.part", tmp_path / "sub" / "x.part", tmp_path / "a.csv.12-0.ha.part"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with RunDir(tmp_path).locked():
        assert all(path.exists() for path in mine)


def test_half_written_files_of_a_killed_run_are_removed_and_no_others(run):
    own = [run.root / "run.json.12-0.ha.part", run.root / "results" / "t.csv.12-0.ha.part"]
    foreign = [run.root / "results" / "movie.part", run.root / "mine" / "t.csv.12-0.ha.part"]
    for path in (*own, *foreign):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    with run.locked():
        assert not any(path.exists() for path in own)
    assert all(path.exists() for path in foreign)


def test_a_second_process_is_refused(run):
    with (
        locked_elsewhere(run.root),
        pytest.raises(HeadAtlasError, match="another process is working in the run"),
        run.locked(),
    ):
        pass
    with run.locked(), run.locked():
        pass


def test_a_run_that_another_process_began_in_the_meantime_is_refused(tmp_path):
    """Both found no run when they were opened."""
    code = (
        "import sys\nfrom headatlas.study.rundir import RunDir\nrun = RunDir(sys.argv[1])\nwith run.locked():\n"
        f"    run.begin({RECORD!r})\n    print('begun', flush=True)\n    sys.stdin.read()"
    )
    late = RunDir(tmp_path / "run")
    with late.locked():
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "begun\n"
            with pytest.raises(HeadAtlasError, match="another process is working in the run"):
                late.begin(RECORD)
            other.stdin.close()
        late.begin(RECORD)
    with RunDir(tmp_path / "run").locked():
        pass


def test_a_stage_is_done_only_when_its_block_ends_and_its_inputs_are_the_same(run):
    with pytest.raises(KeyboardInterrupt), run.running("s", "f1"):
        raise KeyboardInterrupt
    assert not run.is_done("s", "f1")
    finish(run)
    assert run.is_done("s", "f1")
    assert not run.is_done("s", "f2")
    (timing,) = run.timings(("s", "never"))
    assert timing["resumed"] is True
    assert timing["seconds"] >= 0


def test_a_stage_that_runs_again_is_not_done_meanwhile(run):
    """Readers check files against markers: none may list what is being written again."""
    finish(run)
    with run.running("s", "f1"):
        assert run.marker("s") is None
        assert RunDir(run.root).record() == RECORD
    assert run.is_done("s", "f1")


@pytest.mark.parametrize("name", ["results/t.csv", "charts/c.svg", "stages/s.json"])
@pytest.mark.parametrize("how", ["delete", "cut", "empty", "flip", "folder"])
def test_damaged_files_of_a_stage_are_noticed_and_cleared(run, name, how):
    finish(run)
    path = run.root / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "delete":
        data[len(data) // 2] ^= 1
        path.write_bytes({"cut": data[:-3], "empty": b"", "flip": data}[how])
    again = RunDir(run.root)
    assert not again.is_done("s", "f1")
    if (name, how) != ("stages/s.json", "delete"):
        assert again.clear("s") == [name]
    assert not path.exists()
    finish(again)
    assert again.is_done("s", "f1")


def test_a_full_folder_in_the_place_of_a_file_is_left_alone_and_named(run):
    finish(run)
    path = run.root / "results" / "t.csv"
    path.unlink()
    path.mkdir()
    (path / "mine").write_text("")
    with pytest.raises(HeadAtlasError, match=r"t\.csv.* cannot be removed .* the stage s writes"):
        run.clear("s")


def test_what_a_stage_wrote_decides_what_is_built_on_it(run):
    finish(run)
    before = run.outputs("s")
    finish(run)
    assert run.outputs("s") == before
    with run.running("s", "f1"):
        run.write_text("results/t.csv", "a,b\n1,3\n")
    assert run.outputs("s") != before


@pytest.mark.parametrize("name", ["run.json", "stages/s.json"])
def test_no_single_damaged_file_hides_what_the_run_is_of(run, name):
    finish(run)
    (run.root / name).write_text("{")
    assert RunDir(run.root).record() == RECORD
    (run.root / "run.json").unlink()
    (run.root / "stages" / "s.json").write_text("{")
    assert RunDir(run.root).record() is None


@pytest.mark.parametrize("name", ["../other.txt", "/tmp/other.txt", "a/../../other.txt", ""])
def test_a_marker_that_names_a_file_outside_of_the_run_removes_nothing(run, name):
    """A run directory may come from somebody else, and whoever made it can seal a marker."""
    other = run.root.parent / "other.txt"
    other.write_text("mine")
    run._write_sealed("stages/score.json", {"stage": "score", "fingerprint": "f", "files": {name: "0"}, "outputs": ""})
    assert run.damaged("score") == ["stages/score.json"]
    assert not run.is_done("score", "f")
    run.clear("score")
    assert other.read_text() == "mine"


def test_a_first_stage_that_fails_leaves_nothing(tmp_path):
    run = RunDir(tmp_path / "deep" / "run")
    run.begin(RECORD)
    with pytest.raises(HeadAtlasError), run.running("s", "f1"):
        raise HeadAtlasError("a mistake")
    run.abandon()
    assert not (tmp_path / "deep").exists()


def test_a_stage_that_fails_later_leaves_what_was_there(run):
    finish(run)
    again = RunDir(run.root)
    again.begin(RECORD)
    with pytest.raises(HeadAtlasError), again.running("t", "f1"):
        raise HeadAtlasError("a mistake")
    again.abandon()
    assert again.is_done("s", "f1")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(HeadAtlasError, match="must be a folder"):
        RunDir(tmp_path / "f")
