"""Jobs: one at a time, in order, cancelled in the queue and at work, and failures that end nothing else."""

import threading
import time

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.explore.jobs import MOST_WAITING, Jobs


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


def end(jobs, job):
    news = jobs.wait(job.id, -1, 5.0)
    while news["state"] in ("waiting", "running"):
        news = jobs.wait(job.id, news["version"], 5.0)
    return news


def test_one_at_a_time_in_order(jobs):
    at_work, most, order = [], [], []

    def work(i):
        def run(progress):
            at_work.append(i)
            most.append(len(at_work))
            progress("work", 1, 2)
            time.sleep(0.01)
            order.append(i)
            at_work.remove(i)
            return i

        return run

    made = [jobs.add(work(i)) for i in range(5)]
    assert [end(jobs, job)["result"] for job in made] == [0, 1, 2, 3, 4]
    assert max(most) == 1
    assert order == [0, 1, 2, 3, 4]


def test_cancel(jobs):
    go = threading.Event()

    def long(progress):
        for i in range(1000):
            progress("long", i, 1000)
            go.wait(0.01)
        return "never"

    first, second, third = jobs.add(long), jobs.add(long), jobs.add(lambda progress: "third")
    assert jobs.wait(third.id, -1, 0.0)["ahead"] == 1 or jobs.wait(third.id, -1, 0.0)["ahead"] == 2
    assert jobs.cancel(second.id)
    assert end(jobs, second)["state"] == "cancelled"
    assert jobs.cancel(first.id)
    assert end(jobs, first)["state"] == "cancelled"
    assert end(jobs, third)["result"] == "third"
    assert not jobs.cancel("no-such-job")
    assert jobs.wait("no-such-job", -1, 0.0) is None


def test_a_failure_is_one_line_and_the_next_job_runs(jobs):
    def refuse(progress):
        raise HeadAtlasError("heads must be given")

    def crash(progress):
        raise RuntimeError("out of\n  memory")

    made = [jobs.add(refuse), jobs.add(crash), jobs.add(lambda progress: 3)]
    news = [end(jobs, job) for job in made]
    assert [one["state"] for one in news] == ["failed", "failed", "done"]
    assert news[0]["error"] == "heads must be given"
    assert news[1]["error"] == "the model failed (RuntimeError: out of memory)"


def test_the_queue_is_bounded(jobs):
    hold = threading.Event()
    jobs.add(lambda progress: hold.wait(5))
    time.sleep(0.05)
    for _ in range(MOST_WAITING):
        jobs.add(lambda progress: None)
    with pytest.raises(HeadAtlasError, match="waiting for the model"):
        jobs.add(lambda progress: None)
    hold.set()
