"""Check many families in worker processes, so that a crash in one family does not lose the results of the others.

A worker takes one family at a time and writes its report as a line of JSON. If it dies, the family it was checking is reported
as failed with the exit code, and a new worker takes the rest.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import torch
import transformers

from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.proof.build import MODEL_TYPES
from headatlas.proof.prove import FamilyReport, check_family
from headatlas.registry import near

LIMIT = 300.0
"""Seconds that one family may take before its worker is killed."""


def check_families(
    families: Sequence[str] = (), jobs: int | None = None, progress: Progress | None = None, limit: float = LIMIT
) -> dict[str, FamilyReport]:
    """Check `families` (all of transformers' if empty) in `jobs` processes; reports in the order of `families`.

    Args:
        families: model types of `AutoModelForImageTextToText`.
        jobs: processes at a time; by default one per core.
        progress: called as `progress("families: llava", done, total)` in families.
        limit: seconds that one family may take.

    Raises:
        HeadAtlasError: a family that the installed transformers does not have, before anything is run.
    """
    wanted = list(dict.fromkeys(families)) or list(MODEL_TYPES)
    unknown = [family for family in wanted if family not in MODEL_TYPES]
    if unknown:
        raise HeadAtlasError(
            f"families must be model types of AutoModelForImageTextToText (such as {MODEL_TYPES[0]}, {MODEL_TYPES[-3]}), got "
            f"{', '.join(unknown)}{near(unknown[0], MODEL_TYPES)}; `headatlas models list` prints all {len(MODEL_TYPES)}"
        )
    queue: Queue[str] = Queue()
    for family in wanted:
        queue.put(family)
    reports: dict[str, FamilyReport] = {}
    lock = threading.Lock()

    def keep(report: FamilyReport) -> None:
        with lock:
            reports[report.family] = report
            if progress is not None:
                progress(f"families: {report.family}", len(reports), len(wanted))

    workers = min(jobs or os.cpu_count() or 1, len(wanted))
    threads = [threading.Thread(target=_drain, args=(queue, keep, limit), daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {family: reports[family] for family in wanted}


def _drain(queue: "Queue[str]", keep: Callable[[FamilyReport], None], limit: float) -> None:
    worker: _Worker | None = None
    try:
        while True:
            try:
                family = queue.get_nowait()
            except Empty:
                return
            worker = worker or _Worker()
            answer = worker.ask(family, limit)
            if isinstance(answer, str):
                worker.close()
                worker = None
                keep(FamilyReport(family, status="fails", reason=answer))
            else:
                keep(FamilyReport(**answer))
    finally:
        if worker is not None:
            worker.close()


class _Worker:
    """A process that checks families one after the other."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headatlas.proof.run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, family: str, limit: float) -> dict[str, Any] | str:
        """The family's report as a dictionary, or the reason why there is none."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Timer(limit, process.kill)
        overdue.start()
        try:
            process.stdin.write(family + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            late = not overdue.is_alive()
            overdue.cancel()
        if line:
            return json.loads(line)
        if late:
            return f"the check took more than {limit:.0f} s and was ended"
        return f"the process that checked it ended with code {process.wait()}"

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def save(reports: dict[str, FamilyReport], path: Path, seconds: float | None = None) -> None:
    """Write reports as JSON: versions, total time, and one entry per family."""
    content = {
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]},
        "seconds": None if seconds is None else round(seconds, 1),
        "families": [report.to_json() for report in reports.values()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> tuple[list[FamilyReport], dict[str, Any]]:
    """Read what `save` wrote: the reports, and the rest. Raises `HeadAtlasError` for any other file."""
    try:
        content = json.loads(path.read_text())
        return [FamilyReport(**entry) for entry in content.pop("families")], content
    except FileNotFoundError:
        raise HeadAtlasError(
            f"{path} does not exist; write it with: headatlas models check --all --json {path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HeadAtlasError(f"{path} must be a file that `headatlas models check --json` writes: {error}") from None


def _serve() -> None:
    """Check the families named on stdin, one per line."""
    out, sys.stdout = sys.stdout, sys.stderr  # so that what a model prints is not taken for a report
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for line in sys.stdin:
        print(json.dumps(check_family(line.strip()).to_json()), file=out, flush=True)


if __name__ == "__main__":
    _serve()
