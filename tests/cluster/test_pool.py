"""Shards and lost workers, with workers that are objects of the test."""

import pytest

from headatlas.cluster import Shard
from headatlas.cluster.pool import Lost, Pool
from headatlas.cluster.worker import Reply, answer
from headatlas.errors import HeadAtlasError
from headatlas.heads import zero


class Script(Pool):
    """Workers that run their call at once; `ends` says at which of all calls a worker ends instead (0 is a start)."""

    def __init__(self, size, ends=(), starts_fail=0):
        super().__init__(("cpu",) * size)
        self.calls, self.ends, self.starts_fail = 0, set(ends), starts_fail
        self.stopped = 0

    def _start(self, vlm, model, device):
        if self.starts_fail:
            self.starts_fail -= 1
            return [Lost("exit code 1")]
        return [Reply((100 + len(self.members), "here"))]

    def _send(self, member, task, shard, around):
        self.calls += 1
        if self.calls in self.ends:
            member.handle.append(Lost("killed by SIGKILL"))
        else:
            shared = [one.make() for one in shard.shared]
            member.handle.append(answer(self.vlm, task, (*shared, *shard.args), around))

    def _wait(self, members):
        return [(member, member.handle.pop(0)) for member in members]

    def _stop(self, member):
        self.stopped += 1

    def run(self, vlm, task, shards):
        self.vlm = vlm
        return super().run(vlm, task, shards)


def square(vlm, number):
    return number**2, vlm.edits_key


def double(vlm, number):
    return 2 * number


SHARDS = [Shard(n, (n,)) for n in range(6)]
WANTED = {n: (n**2, ()) for n in range(6)}


def test_every_shard_once(tiny_vlm):
    with Script(2) as pool:
        assert dict(pool.run(tiny_vlm, square, SHARDS)) == WANTED
        assert pool.calls == 6
        assert pool.pids == (100, 101)
        assert dict(pool.run(tiny_vlm, square, iter(SHARDS[:1]))) == {0: (0, ())}
    assert pool.stopped == 2


def test_a_lost_worker_s_shard_is_run_again(tiny_vlm, caplog):
    with Script(2, ends=[3]) as pool:
        found = list(pool.run(tiny_vlm, square, SHARDS))
    assert dict(found) == WANTED
    assert len(found) == 6
    assert (pool.lost, pool.calls) == (1, 7)
    assert "was lost (killed by SIGKILL): its shard 2 is run again" in caplog.text


def test_a_shard_that_ends_every_worker_is_given_up(tiny_vlm):
    with Script(1, ends=[2, 3, 4]) as pool, pytest.raises(HeadAtlasError, match="shard 1 ended its worker 3 times"):
        dict(pool.run(tiny_vlm, square, SHARDS))


def test_workers_that_do_not_start(tiny_vlm):
    with Script(2, starts_fail=2) as pool:
        assert dict(pool.run(tiny_vlm, square, SHARDS)) == WANTED
    with Script(2, starts_fail=9) as pool, pytest.raises(HeadAtlasError, match="__main__"):
        dict(pool.run(tiny_vlm, square, SHARDS))


def test_shards_are_taken_one_by_one(tiny_vlm):
    taken = []

    def shards():
        for shard in SHARDS:
            taken.append(shard.number)
            yield shard

    with Script(2) as pool:
        running = pool.run(tiny_vlm, square, shards())
        next(running)
        assert len(taken) <= 4
        running.close()
        assert dict(pool.run(tiny_vlm, double, SHARDS)) == {n: 2 * n for n in range(6)}, "no reply of the first run"
        assert pool.stopped == 0, "workers that were busy are kept"


def test_edits_travel(tiny_vlm):
    edit = zero(["L1.H0"])
    with Script(1) as pool, tiny_vlm.edit(edit):
        # These workers share the test's model, so the edit is there twice.
        assert dict(pool.run(tiny_vlm, square, SHARDS[:1])) == {0: (0, (f"all:{edit.fingerprint}",) * 2)}
        with tiny_vlm.edit(rows=[[edit]]), pytest.raises(HeadAtlasError, match="row to row"):
            dict(pool.run(tiny_vlm, square, SHARDS))


def test_another_model_gets_new_workers(tiny_vlm, monkeypatch):
    with Script(1) as pool:
        dict(pool.run(tiny_vlm, square, SHARDS))
        monkeypatch.setattr(tiny_vlm, "_fixed_fingerprint", "another")
        dict(pool.run(tiny_vlm, square, SHARDS))
        assert pool.stopped == 1
