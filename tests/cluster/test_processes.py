import os

import pytest
import torch
from cluster_tasks import double, refuse, where
from spread_checks import answers_are_the_same, capture_is_the_same

from headatlas.cluster import Processes, Shard, Shared
from headatlas.errors import HeadAtlasError


@pytest.fixture(scope="module")
def workers(s3):  # the bucket's address is in the environment that they inherit
    with Processes(["cpu", "cpu"], threads=torch.get_num_threads()) as started:
        yield started


def test_shards_run_in_other_processes(workers, tiny_vlm):
    found = dict(workers.run(tiny_vlm, where, [Shard(n, (n,)) for n in range(8)]))
    assert [found[n][0] for n in range(8)] == list(range(8))
    assert os.getpid() not in {pid for _, pid in found.values()} <= set(workers.pids)
    shared = Shard(0, (1,), (Shared("five", lambda: 5),))
    assert dict(workers.run(tiny_vlm, double, [shared])) == {0: (tiny_vlm.name, [10, 2], ())}


def test_a_capture_with_one_worker_killed_is_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    capture_is_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch)


def test_answers_are_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    answers_are_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch, kill=False)


def test_a_capture_and_answers_in_a_bucket_with_one_worker_killed(
    workers, s3, tiny_vlm, tiny_questions, tmp_path, monkeypatch
):
    capture_is_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch, s3)
    answers_are_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch, store=s3)


def test_mistakes_are_named(workers, tiny_vlm):
    with pytest.raises(HeadAtlasError, match="the second is not wanted"):
        dict(workers.run(tiny_vlm, refuse, [Shard(n, (n,)) for n in range(4)]))
    with pytest.raises(HeadAtlasError, match="cannot be sent"):
        dict(workers.run(tiny_vlm, lambda vlm: None, [Shard(0)]))
    assert dict(workers.run(tiny_vlm, refuse, [Shard(1, (1,))])) == {1: 1}, "the workers go on"
    with pytest.raises(HeadAtlasError, match="at least one"):
        Processes([])


def test_the_driver_s_own_device_needs_no_process(tiny_vlm, monkeypatch):
    """As on a GPU: the model that is loaded serves its device, from a thread."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with Processes(["cuda:0"]) as alone:
        monkeypatch.setattr(type(tiny_vlm), "device", torch.device("cuda:0"))
        assert dict(alone.run(tiny_vlm, double, [Shard(0, (4,))])) == {0: (tiny_vlm.name, [8], ())}
    with pytest.raises(HeadAtlasError, match="every GPU once"):
        Processes(["cuda:0", "cuda"])
