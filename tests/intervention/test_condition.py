import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, mean, scale, zero
from headatlas.intervention import Condition, Runner

ONE = HeadSet([Head(1, 0)])


def test_a_condition_is_what_it_does_not_what_it_is_called():
    same = Condition("a", (zero(ONE),)).fingerprint
    assert Condition("b", (scale(HeadSet([Head(1, 0)], reason="other"), 0.0),)).fingerprint == same
    means = torch.zeros(3, 4, 6)
    others = [
        Condition("a"),
        Condition("a", (zero(HeadSet([Head(1, 1)])),)),
        Condition("a", (scale(ONE, 0.001),)),
        Condition("a", (zero(ONE),), scope="answer"),
        Condition("a", (zero(ONE),), arm="boxes"),
        Condition("a", (mean(ONE, means + 1),)),
        Condition("a", (mean(ONE, means + 2),)),
    ]
    prints = {same, *(condition.fingerprint for condition in others)}
    assert len(prints) == 1 + len(others)


def test_bare_model_is_one_condition_at_any_scope():
    assert Condition("a", scope="answer").fingerprint == Condition("b").fingerprint


def test_unknown_scope_is_refused():
    with pytest.raises(HeadAtlasError, match="got 'everywhere'"):
        Condition("a", scope="everywhere")


def test_edits_apply_and_each_condition_is_evaluated_once(runner, vlm):
    before, after = runner.baseline(), runner.run(Condition("x", (zero(ONE),)))
    hit = (before["function"] == "spatial_perception") & before["correct"]
    assert not after["correct"][hit].any()
    assert (after["correct"] == before["correct"])[~hit].all()
    runner.run(Condition("other name", (zero(ONE),)))
    assert vlm.evaluations == runner.evaluated == 2


def test_a_caller_cannot_spoil_the_memory(runner):
    table = runner.baseline()
    table["correct"] = False
    assert runner.baseline()["correct"].any()


def test_cache_on_disk_survives_the_runner(vlm, data, tmp_path):
    condition = Condition("x", (zero(ONE),))
    first = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate).run(condition)
    again = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate)
    assert again.run(condition).equals(first)
    assert (again.evaluated, vlm.evaluations) == (0, 1)
    (kept,) = tmp_path.glob("*.parquet")
    assert b'"name": "x"' in pq.read_metadata(kept).metadata[b"headatlas"]


@pytest.mark.parametrize(
    "change", [{"mode": "generate"}, {"context": "own"}, {"split": "T"}, {"model": "b"}, {"data": "b"}]
)
def test_whatever_could_change_the_answers_changes_the_key(vlm, data, change):
    condition = Condition("x")
    key = Runner(vlm, data).key(condition)
    vlm.fingerprint, data.fingerprint = change.pop("model", "fake"), change.pop("data", "data")
    split = change.pop("split", "E")
    assert Runner(vlm, data, **change).key(condition, split) != key


def test_edits_opened_around_the_runner_change_the_key(vlm, data):
    key = Runner(vlm, data).key(Condition("x"))
    vlm.edits_key = ("all:abc",)
    assert Runner(vlm, data).key(Condition("x")) != key


def test_progress_and_order(runner):
    told = []
    conditions = [Condition(str(i), (scale(ONE, i / 10),)) for i in range(3)]
    tables = runner.run_many(conditions, progress=lambda *call: told.append(call))
    assert told == [("0", 1, 3), ("1", 2, 3), ("2", 3, 3)]
    assert all(table.equals(runner.run(c)) for table, c in zip(tables, conditions, strict=True))


def test_arms_reach_the_evaluation(vlm, data):
    runner = Runner(vlm, data, arms={"helps": "helps"}, evaluate=vlm.evaluate)
    table = runner.run(Condition("x", arm="helps"))
    assert table["correct"].all()
    assert not runner.baseline()["correct"].all()


def test_mistakes_are_one_line(vlm, data, runner):
    with pytest.raises(HeadAtlasError, match="arm must be one of original, got 'boxes'"):
        runner.run(Condition("x", arm="boxes"))
    with pytest.raises(HeadAtlasError, match="split 'P' has no question"):
        runner.run(Condition("x"), "P")
    with pytest.raises(HeadAtlasError, match="mode"):
        Runner(vlm, data, mode="sampled")
    with pytest.raises(HeadAtlasError, match="context"):
        Runner(vlm, data, context="none")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_sigkill_in_the_middle_of_writing_leaves_no_table(vlm, data, tmp_path):
    """A process that dies while it writes must not leave a file that a later run takes for an answer."""
    script = f"""
        import os, pathlib, signal
        from headatlas.intervention import Condition, Runner
        import pandas as pd
        class Q(int):
            images = ()
        class V:
            fingerprint = "fake"
            def edit(self, *e, scope="all", rows=None): ...
        class D:
            fingerprint = "data"
            def split(self, name): return [Q(i) for i in range(40)]
        def die(path, data):
            open(path, "wb").write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        pathlib.Path.write_bytes = die
        Runner(V(), D(), {str(tmp_path)!r}, evaluate=lambda *a, **k: pd.DataFrame({{"a": [1]}})).run(Condition("x"))
    """
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=env, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert list(tmp_path.iterdir())
    runner = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate)
    assert len(runner.run(Condition("x"))) == 120
    assert runner.evaluated == 1
    assert np.isfinite(runner.run(Condition("x"))["logprob"]).all()


@pytest.mark.parametrize("how", ["cut", "empty", "flip", "folder", "other"])
def test_damaged_answers_are_computed_again(vlm, data, tmp_path, how):
    conditions = [Condition("x", (zero(ONE),)), Condition("y", (scale(ONE, 0.4),))]
    first = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate)
    wanted = list(first.run_many(conditions))
    path = tmp_path / f"{first.key(conditions[0])}.parquet"
    whole = bytearray(path.read_bytes())
    for place in range(0, len(whole), len(whole) // 7) if how == "flip" else (0,):
        data_now = bytearray(whole)
        data_now[place] ^= 1
        if how == "folder":
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "flip": data_now, "other": b"PAR1"}[how])
        again = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate)
        assert all(a.equals(b) for a, b in zip(again.run_many(conditions), wanted, strict=True))
        assert again.evaluated == 1


def test_answers_that_are_damaged_after_they_were_found_are_computed_again(vlm, data, tmp_path):
    runner = Runner(vlm, data, tmp_path, evaluate=vlm.evaluate)
    wanted = runner.run(Condition("x", (zero(ONE),)))
    tables = runner.run_many([Condition("x", (zero(ONE),))])
    for path in tmp_path.glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-9])
    assert tables[0].equals(wanted)
    assert runner.evaluated == 2


def test_an_arm_that_says_nothing_of_what_it_shows_is_not_cached_on_disk(vlm, data, tmp_path):
    """Two functions may have one name: only an arm with a fingerprint may be read from a folder."""

    class Known(str):
        fingerprint = "boxes of version 2"

    for arm, files in (("helps", 0), (Known("helps"), 1)):
        runner = Runner(vlm, data, tmp_path, arms={"helps": arm}, evaluate=vlm.evaluate)
        assert runner.run(Condition("x", arm="helps"))["correct"].all()
        assert len(list(tmp_path.glob("*.parquet"))) == files


def test_what_the_model_was_is_asked_once_a_call(vlm, data):
    """The fingerprint covers all weights, so it is not computed for every condition."""
    asked = []

    class Counted(type(vlm)):
        @property
        def fingerprint(self):
            # On Python 3.11 the type checks of tests ask too, by `isinstance` with the protocol `Editable`.
            if sys._getframe(1).f_globals["__name__"] != "typing":
                asked.append(1)
            return "fake"

    counted = Counted()
    Runner(counted, data, evaluate=counted.evaluate).run_many([Condition("x", (scale(ONE, i / 9),)) for i in range(9)])
    assert len(asked) == 1


def test_printed_it_is_short(runner):
    for thing in (runner, Condition("x", tuple(zero(ONE) for _ in range(50))), runner.run_many([Condition("x")])):
        assert len(repr(thing)) < 300
        assert "\n" not in repr(thing)
