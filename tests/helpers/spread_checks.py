"""What every kind of workers must do: the same capture and the same answers as one process, also when one of them is killed."""

import os
import signal
import threading
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import pandas as pd

from headatlas.activations import capture
from headatlas.activations import capture as capture_function
from headatlas.heads import HeadSet, mean, zero
from headatlas.intervention import Condition, Runner, sharding

capture_module = __import__(capture_function.__module__, fromlist=["UNIT"])
condition_module = __import__(Runner.__module__, fromlist=["GROUP_SIZES"])


class Data(list):
    """All questions in split E."""

    fingerprint = "eight"

    def split(self, name):
        return self


@contextmanager
def killing(workers):
    """Within the block one worker is killed in the middle of a shard, as soon as one is there; gives the list of those killed.

    A worker is stopped first: one that has replied already would not be missed.
    """
    killed, over = [], threading.Event()

    def kill():
        while not killed and not over.is_set():
            for member in list(workers.members):
                shard = member.shard
                if shard is None:
                    continue
                os.kill(member.pid, signal.SIGSTOP)
                time.sleep(0.05)  # what was read just now is noted
                if member.shard is shard and not replied(member):
                    os.kill(member.pid, signal.SIGKILL)
                    killed.append(member.pid)
                    return
                os.kill(member.pid, signal.SIGCONT)
            time.sleep(0.001)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def replied(member):
    """Whether a worker's reply is waiting to be read: in its pipe, or in Ray's store."""
    _, reply = member.handle
    if hasattr(reply, "poll"):
        return reply.poll()
    import ray

    return bool(ray.wait([reply], timeout=0)[0])


def capture_is_the_same(workers, vlm, questions, folder, monkeypatch, store=None):
    monkeypatch.setattr(capture_module, "UNIT", 1)
    monkeypatch.setattr("headatlas.activations.arrays.chunk_rows", lambda shape: 2)
    plain = capture(vlm, questions, ("gold", "all"), out=folder / "plain", batch_size=2)
    lost = workers.lost
    with vlm.edit(zero(["L0.H2"]), scope="answer"):
        edited = capture(vlm, questions, ("gold", "all"), out=folder / "edited", batch_size=2)
        there = f"{store or f'local://{folder}'}/{folder.name}/spread"
        with killing(workers) as killed:
            found = capture(vlm, questions, ("gold", "all"), out=there, batch_size=2, workers=workers)
    assert killed
    assert workers.lost == lost + 1
    for name in ("gold", "all"):
        np.testing.assert_array_equal(found.z(name), edited.z(name))
        assert not np.array_equal(found.z(name), plain.z(name))
    pd.testing.assert_frame_equal(found.steps, edited.steps, check_exact=True)


def answers_are_the_same(workers, vlm, questions, folder, monkeypatch, kill=True, store=None):
    monkeypatch.setattr(sharding, "BATCHES", 1)
    monkeypatch.setattr(condition_module, "GROUP_SIZES", dict.fromkeys(condition_module.GROUP_SIZES, 4))
    heads = list(vlm.heads.heads())
    means = np.random.default_rng(0).normal(size=vlm.heads.dims("L")).astype(np.float32)
    todo = [Condition("bare"), *[Condition(str(head), (mean(HeadSet([head]), means),), "answer") for head in heads]]
    plain = Runner(vlm, Data(questions), batch_size=2).run_many(todo)
    lost = workers.lost
    there = f"{store or f'local://{folder}'}/{folder.name}/answers"
    runner = Runner(vlm, Data(questions), there, batch_size=2, workers=workers)
    with killing(workers) if kill else nullcontext([]) as killed:
        found = runner.run_many(todo)
    assert bool(killed) == kill
    assert workers.lost == lost + kill
    for one, same in zip(found, plain, strict=True):
        pd.testing.assert_frame_equal(one, same, check_exact=True)
