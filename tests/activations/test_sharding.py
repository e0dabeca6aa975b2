import random

import numpy as np
import pandas as pd
import pytest

from headatlas.activations import Activations, capture, sharding
from headatlas.activations import capture as capture_function
from headatlas.activations.arrays import create_arrays
from headatlas.activations.sharding import capture_unit, whole_chunks
from headatlas.cluster import Local
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, write_frame
from headatlas.heads import zero

module = __import__(capture_function.__module__, fromlist=["UNIT"])


class Shuffled(Local):
    """Workers whose shards end in any order, so that the order of their writing must not matter."""

    def run(self, vlm, task, shards):
        made = list(shards)
        random.Random(0).shuffle(made)
        return super().run(vlm, task, made)


@pytest.fixture
def small(monkeypatch):
    """Units of two questions, chunks of three rows: units end within chunks, and hold whole ones."""
    monkeypatch.setattr(module, "UNIT", 2)
    monkeypatch.setattr("headatlas.activations.arrays.chunk_rows", lambda shape: 3)


def same(found, wanted):
    for name in wanted.tokens:
        assert np.array_equal(found.z(name), wanted.z(name))
    pd.testing.assert_frame_equal(found.steps, wanted.steps, check_exact=True)


@pytest.mark.parametrize(("start", "stop"), [(0, 9), (1, 9), (4, 5), (3, 6), (4, 8), (7, 10), (9, 10), (0, 10)])
def test_chunks_of_a_unit(start, stop):
    inner = whole_chunks(start, stop, 3, 10)
    rows = set(range(start, stop))
    chunks = [set(range(a, min(a + 3, 10))) for a in range(0, 10, 3)]
    assert set(inner) == set().union(*(chunk for chunk in chunks if chunk <= rows))
    assert start <= inner.start <= inner.stop <= stop


@pytest.mark.parametrize("kind", ["disk", "memory", "s3"])
def test_units_in_any_order_are_the_plain_capture(
    tiny_vlm, tiny_questions, tmp_path, small, monkeypatch, kind, request
):
    tokens = ("gold", "all")
    plain = capture(tiny_vlm, tiny_questions, tokens, out=tmp_path / "plain", batch_size=2)
    out = {"disk": tmp_path / "spread", "memory": f"memory://{tmp_path.name}/acts"}.get(kind)
    out = out or f"{request.getfixturevalue('s3')}/{tmp_path.name}/acts"
    alone = []

    def unit(*args):
        result = capture_unit(*args)
        alone.append(len(result.answers) - sum(len(z) for name, _, z in result.ends if name == "gold"))
        return result

    monkeypatch.setattr(module, "capture_unit", unit)
    done = []
    found = capture(
        tiny_vlm,
        tiny_questions,
        tokens,
        out=out,
        batch_size=2,
        workers=Shuffled(),
        progress=lambda _, n, __: done.append(n),
    )
    same(found, plain)
    assert done == [2, 4, 6, 8]
    assert min(alone) >= 0 < sum(alone), "workers write some chunks themselves"
    assert found.info == plain.info
    same(Activations.open(out), plain)


def test_object_storage_without_workers(tiny_vlm, tiny_questions, tmp_path, small):
    plain = capture(tiny_vlm, tiny_questions, out=tmp_path / "plain", batch_size=2)
    out = f"memory://{tmp_path.name}/plain"
    same(capture(tiny_vlm, tiny_questions, out=out, batch_size=2), plain)
    with pytest.raises(HeadAtlasError, match="differs in tokens"):
        capture(tiny_vlm, tiny_questions, "last", out=out)
    with pytest.raises(HeadAtlasError, match="no capture in 'memory://nothing'"):
        Activations.open("memory://nothing")


def test_what_was_lost_is_run_again(tiny_vlm, tiny_questions, tmp_path, small, monkeypatch):
    plain = capture(tiny_vlm, tiny_questions, out=tmp_path / "plain", batch_size=2)
    where = f"memory://{tmp_path.name}/again"

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    with pytest.raises(Stop):
        capture(tiny_vlm, tiny_questions, out=where, batch_size=2, workers=Shuffled(), progress=stop)
    with pytest.raises(HeadAtlasError, match="not finished"):
        Activations.open(where)
    ran = []
    monkeypatch.setattr(module, "capture_unit", lambda *args: ran.append(1) or capture_unit(*args))
    done = []
    found = capture(
        tiny_vlm, tiny_questions, out=where, batch_size=2, workers=Shuffled(), progress=lambda _, n, __: done.append(n)
    )
    same(found, plain)
    assert (len(ran), done[-1]) == (3, 8), "one unit was in the store"
    # A store whose making was cut off before its settings were written does not count.
    cut = Folder.of(f"memory://{tmp_path.name}/cut")
    cut.write("z.zarr/zarr.json", b"{")
    cut.write("begun.parquet", b"")
    with pytest.raises(HeadAtlasError, match="another version of HeadAtlas, or one whose files are all damaged"):
        capture(tiny_vlm, tiny_questions, out=str(cut), batch_size=2)
    cut = Folder.of(f"memory://{tmp_path.name}/begun")
    # One that was begun, of another selection, and has no unit yet holds nothing of use.
    write_frame(cut, module.BEGUN, pd.DataFrame({"unit": []}))
    create_arrays(cut, (3, 2, 4, 6), ("last",))
    same(capture(tiny_vlm, tiny_questions, out=str(cut), batch_size=2), plain)


def test_an_edit_and_an_arm_reach_the_workers(tiny_vlm, tiny_questions, tmp_path, small):
    def flipped(question):
        return (question.images[0].transpose(1),), "Look."

    options = {"batch_size": 2, "arm": flipped, "arm_name": "flipped"}
    with tiny_vlm.edit(zero(["L0.H0"])):
        plain = capture(tiny_vlm, tiny_questions, out=tmp_path / "plain", **options)
        same(capture(tiny_vlm, tiny_questions, out=tmp_path / "spread", workers=Shuffled(), **options), plain)


def test_a_worker_that_does_not_see_the_folder_says_so(tiny_vlm, tmp_path):
    with pytest.raises(HeadAtlasError, match="does not see the capture"):
        sharding._arrays(str(tmp_path), (1, 1, 1, 1), ("gold",), 1)
