"""One job of the model at a time: a queue, progress, cancelling, and waiting for news."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress

log = logging.getLogger("headatlas")

MOST_WAITING = 64
"""Jobs that may wait; more are refused."""
MOST_KEPT = 256
"""Finished jobs whose results can still be fetched."""

Work = Callable[[Progress], Any]


class Cancelled(Exception):
    """Raised inside a job that was cancelled, at its next report of progress."""


class Job:
    """One piece of work. `state` is waiting, running, done, failed or cancelled; `version` counts its changes."""

    def __init__(self, work: Work) -> None:
        self.id = uuid.uuid4().hex
        self.work: Work | None = work
        self.state, self.version, self.cancelled = "waiting", 0, False
        self.what, self.done, self.total = "", 0, 0
        self.result: Any = None
        self.error = ""

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "failed", "cancelled")


class Jobs:
    """Runs jobs one after the other in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._jobs: dict[str, Job] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="headatlas-explore", daemon=True)
        self._thread.start()

    def add(self, work: Work) -> Job:
        """Put work at the end of the queue; `HeadAtlasError` if too much is waiting."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise HeadAtlasError(f"{MOST_WAITING} jobs are waiting for the model already: try again later")
            job = Job(work)
            self._jobs[job.id] = job
            for old in [one for one in self._jobs.values() if one.over][: max(0, len(self._jobs) - MOST_KEPT)]:
                del self._jobs[old.id]
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def wait(self, name: str, version: int, seconds: float) -> dict[str, Any] | None:
        """The job's state as soon as it has changed since `version`, or after some seconds; None for an unknown job."""
        with self._changed:
            job = self._jobs.get(name)
            if job is None:
                return None
            self._changed.wait_for(lambda: job.version != version or job.over, seconds)
            ahead = self._waiting.index(job) if job in self._waiting else 0
            news = {"id": job.id, "state": job.state, "version": job.version, "what": job.what, "done": job.done,
                    "total": job.total, "ahead": ahead, "error": job.error}  # fmt: skip
            return {**news, "result": job.result} if job.state == "done" else news

    def cancel(self, name: str) -> bool:
        """Take a job out of the queue, or let it stop at its next report; False for an unknown job."""
        with self._changed:
            job = self._jobs.get(name)
            if job is None:
                return False
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                self._set(job, state="cancelled", work=None)
        return True

    def close(self) -> None:
        """Let the running job stop at its next report and start no other."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancelled = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.pop(0)
                self._set(job, state="running")
            work = job.work
            assert work is not None
            try:
                result = work(lambda what, done, total, job=job: self._report(job, what, done, total))
                changes = {"state": "done", "result": result}
            except Cancelled:
                changes = {"state": "cancelled"}
            except HeadAtlasError as error:
                changes = {"state": "failed", "error": str(error)}
            except Exception as error:  # a model can raise any error, and the page must keep working
                log.exception("a job of the page failed")
                changes = {"state": "failed", "error": f"the model failed ({type(error).__name__}: {_line(error)})"}
            with self._changed:
                self._set(job, **changes, work=None)

    def _report(self, job: Job, what: str, done: int, total: int) -> None:
        with self._changed:
            if job.cancelled:
                raise Cancelled
            self._set(job, what=what, done=done, total=total)

    def _set(self, job: Job, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(job, name, value)
        job.version += 1
        self._changed.notify_all()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
