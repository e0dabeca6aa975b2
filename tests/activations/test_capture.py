import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headatlas.activations import Activations, capture
from headatlas.activations import capture as capture_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, ZReader, mean, scale, zero
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import evaluate

ALL = ("gold", "predict", "last", "first", "all")
module = __import__(capture_function.__module__, fromlist=["UNIT"])


@pytest.fixture(scope="module")
def kept(tiny_vlm, tiny_questions, tmp_path_factory):
    return capture(tiny_vlm, tiny_questions, ALL, out=tmp_path_factory.mktemp("capture") / "acts", batch_size=3)


def alone(vlm, chat):
    """z [L, T, H, D] and the batch of one conversation, run bare."""
    batch = encode(vlm, [chat])
    with ZReader(vlm.heads) as reader:
        vlm.model(**batch.inputs)
    return np.stack([reader.z[layer][0].numpy() for layer in range(2)]), batch


def test_shape_and_settings(kept, tiny_vlm, tiny_questions):
    n = sum(len(question.steps) for question in tiny_questions)
    assert kept.shape == (n, 2, 4, 6)
    assert len(kept) == n
    assert kept.tokens == ALL
    assert kept.z("gold").dtype == np.float32
    assert kept.info["model_fingerprint"] == tiny_vlm.fingerprint
    assert {"data_fingerprint", "headatlas", "model", "arm", "edits"} <= kept.info.keys()


def test_one_pass_is_step_by_step(kept, tiny_vlm, tiny_questions):
    """Each step's own prompt and answer, run alone, give what one pass over all steps gave."""
    at = 0
    for question in tiny_questions:
        for k in range(len(question.steps)):
            short = question.model_copy(update={"steps": question.steps[: k + 1]})
            z, batch = alone(tiny_vlm, conversation(short))
            start, end = batch.spans[0][k]
            turn = 0 if k == 0 else batch.spans[0][k - 1][1]
            runs = {
                "gold": (start, end - 1),
                "predict": (start - 1, end - 1),
                "last": (start - 1, start),
                "first": (start, start + 1),
                "all": (turn, end),
            }
            for name, (a, b) in runs.items():
                np.testing.assert_allclose(kept.z(name)[at], z[:, a:b].mean(1), atol=2e-5, rtol=1e-4)
            at += 1
    assert at == len(kept)


def test_the_answers_are_those_of_evaluate(kept, tiny_vlm, tiny_questions):
    want = evaluate(tiny_vlm, tiny_questions)
    pd.testing.assert_frame_equal(kept.steps, want, check_exact=False, atol=1e-4)


def test_edits_are_seen_in_z_and_noted(tiny_vlm, tiny_questions, kept, tmp_path):
    heads = HeadSet(list(tiny_vlm.heads.heads())[:1])
    with tiny_vlm.edit(zero(heads)):
        edited = capture(tiny_vlm, tiny_questions, out=tmp_path / "zero")
    assert (edited.z()[:, 0, 0] == 0).all()
    assert not np.allclose(edited.z()[:, 1], kept.z("gold")[:, 1])
    assert edited.info["edits"] != kept.info["edits"] == []


def test_a_no_op_edit_gives_the_bare_activations(tiny_vlm, tiny_questions, kept, tmp_path):
    with tiny_vlm.edit(scale(tiny_vlm.heads.heads(), 1.0), scope="answer"):
        same = capture(tiny_vlm, tiny_questions, out=tmp_path / "same", batch_size=3)
    assert np.array_equal(same.z("gold"), kept.z("gold"))


def test_an_arm_is_captured_and_named(tiny_vlm, tiny_questions, kept, tmp_path):
    def arm(question):
        return (question.images[0].transpose(1),), "Look."

    with pytest.raises(HeadAtlasError, match="arm_name"):
        capture(tiny_vlm, tiny_questions, out=tmp_path / "arm", arm=arm)
    flipped = capture(tiny_vlm, tiny_questions, out=tmp_path / "arm", arm=arm, arm_name="flipped")
    assert flipped.info["arm"] == "flipped"
    assert not np.allclose(flipped.z(), kept.z("gold"))


class Killed(list):
    """Questions that kill the process with SIGKILL when the given one is read."""

    def __init__(self, questions, at):
        super().__init__(questions)
        self.at = at
        self.fingerprint = "killed"

    def without_images(self):
        return list.__iter__(self)

    def __iter__(self):
        for i, question in enumerate(list.__iter__(self)):
            if i == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield question


CHILD = """
import importlib.util, sys

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded

conftest, tests = load("conftest", sys.argv[1]), load("test_capture", sys.argv[2])
tests.module.UNIT = 2
from headatlas.vlm import load_vlm

vlm = load_vlm(sys.argv[3], device="cpu")
data = tests.Killed(conftest.make_questions(), 7)
tests.capture(vlm, data, ("gold", "last"), out=sys.argv[4], batch_size=2)
"""


def test_killed_and_run_again_it_ends_with_the_same(tiny_vlm, tiny_vlm_dir, tiny_questions, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "UNIT", 2)
    whole = capture(tiny_vlm, Killed(tiny_questions, -1), ("gold", "last"), out=tmp_path / "whole", batch_size=2)
    out = tmp_path / "killed"
    here = Path(__file__)
    files = [here.parents[1] / "conftest.py", here, tiny_vlm_dir, out]
    killed = subprocess.run([sys.executable, "-c", CHILD, *map(str, files)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = sorted(path.name for path in (out / "parts").glob("*.parquet"))
    # Killed in the fourth unit: two are on disk for certain, the third if its writing was quick.
    assert there in (["000000.parquet", "000001.parquet"], [f"00000{i}.parquet" for i in range(3)])
    (out / "parts" / "000002.parquet").unlink(missing_ok=True)
    with pytest.raises(HeadAtlasError, match="not finished"):
        Activations.open(out)
    # What a run killed between a unit's z and its answers leaves: z that is written again.
    (out / "parts" / "000001.parquet").rename(out / "parts" / "000001.new")
    done = []
    again = capture(
        tiny_vlm,
        Killed(tiny_questions, -1),
        ("gold", "last"),
        out=out,
        batch_size=2,
        progress=lambda _, n, total: done.append(n),
    )
    assert done == [2, 4, 6, 8]
    for name in ("gold", "last"):
        assert np.array_equal(again.z(name), whole.z(name))
    pd.testing.assert_frame_equal(again.steps, whole.steps)


def test_a_finished_capture_is_not_run_again(tiny_vlm, tiny_questions, kept, monkeypatch):
    monkeypatch.setattr(module, "run_unit", None)
    again = capture(tiny_vlm, tiny_questions, ALL, out=kept.path)
    assert np.array_equal(again.z("all"), kept.z("all"))


def test_a_capture_of_something_else_is_refused(tiny_vlm, tiny_questions, kept):
    with pytest.raises(HeadAtlasError, match="differs in data_fingerprint"):
        capture(tiny_vlm, tiny_questions[:4], ALL, out=kept.path)
    with pytest.raises(HeadAtlasError, match="differs in tokens"):
        capture(tiny_vlm, tiny_questions, "gold", out=kept.path)
    with tiny_vlm.edit(zero(tiny_vlm.heads.heads())), pytest.raises(HeadAtlasError, match="differs in edits"):
        capture(tiny_vlm, tiny_questions, ALL, out=kept.path)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(tiny_vlm, "_fixed_fingerprint", "another")
    with pytest.raises(HeadAtlasError, match="differs in model_fingerprint"):
        capture(tiny_vlm, tiny_questions, ALL, out=kept.path)
    monkey.undo()


def test_mistakes_are_named(tiny_vlm, tiny_questions, tmp_path):
    with pytest.raises(HeadAtlasError, match="empty dataset"):
        capture(tiny_vlm, [], out=tmp_path / "none")
    with pytest.raises(HeadAtlasError, match="token"):
        capture(tiny_vlm, tiny_questions, "middle", out=tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadAtlasError, match="cannot write"):
        capture(tiny_vlm, tiny_questions, out=tmp_path / "file" / "acts")
    assert not (tmp_path / "none").exists()


def test_a_capture_that_fails_at_its_first_unit_leaves_nothing(tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    def fail(*_):
        raise HeadAtlasError("z of layer 1 is not finite")

    (tmp_path / "there").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "run_unit", fail)
        for name in ("new", "there"):
            with pytest.raises(HeadAtlasError, match="not finite"):
                capture(tiny_vlm, tiny_questions, "last", out=tmp_path / name)
    assert not (tmp_path / "new").exists()
    capture(tiny_vlm, tiny_questions[:1], "gold", out=tmp_path / "there")  # nothing is in the way of another capture


def test_a_second_process_in_the_same_folder_is_refused(tiny_vlm, tiny_questions, tmp_path):
    from locked_elsewhere import locked_elsewhere  # not on the path of CHILD, which imports this file

    (tmp_path / "acts").mkdir()
    with (
        locked_elsewhere(tmp_path / "acts"),
        pytest.raises(HeadAtlasError, match="another process is working in the capture"),
    ):
        capture(tiny_vlm, tiny_questions, out=tmp_path / "acts")


@pytest.mark.parametrize("tokens", ["gold", "all"])
def test_z_that_is_not_finite_names_model_layer_and_a_remedy(tiny_vlm, tiny_questions, tmp_path, tokens):
    with (
        pytest.raises(HeadAtlasError, match=r"in float32: z of layer L\d must be finite"),
        tiny_vlm.edit(mean([Head(0, 2)], np.full(tiny_vlm.heads.dims("L"), 3e38, np.float32))),
    ):
        capture(tiny_vlm, tiny_questions, tokens, out=tmp_path / "acts")


def test_a_layer_that_was_not_read_is_an_error(tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    """As when a compiled model calls its projections without their hooks."""
    unit = __import__("headatlas.activations.unit", fromlist=["ZReader"])

    class Deaf(unit.ZReader):
        def __init__(self, grid, tower="L", *, on_z):
            super().__init__(grid, tower, on_z=lambda layer, z: on_z(layer, z) if layer == 0 else None)

    monkeypatch.setattr(unit, "ZReader", Deaf)
    with pytest.raises(HeadAtlasError, match=r"z of layer 1 must be read once in a forward, got 0 times"):
        capture(tiny_vlm, tiny_questions, out=tmp_path / "acts")


def test_without_a_folder_it_is_kept_as_long_as_it_is_used(tiny_vlm, tiny_questions, kept):
    found = capture(tiny_vlm, tiny_questions, ALL, batch_size=3)
    path = Path(found.path)
    assert np.array_equal(found.z("all"), kept.z("all"))
    assert path.exists()
    del found
    assert not path.exists()
