"""Commands in processes of their own that can be killed, forked from a server that has imported HeadAtlas already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    ["headatlas.cli", "headatlas.study", "headatlas.report", "headatlas.annotate.decompose.run"]
)


def run(words: Sequence[object], kill_after: float | None = None, timeout: float = 300.0) -> tuple[int, float]:
    """Run `headatlas <words>`; killed (SIGKILL) after some seconds, if it has not ended. Returns exit code and seconds."""
    process = _FORKING.Process(target=_main, args=([str(word) for word in words],))
    start = time.monotonic()
    process.start()
    process.join(timeout if kill_after is None else kill_after)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode, time.monotonic() - start


def _main(words: list[str]) -> None:
    from headatlas.cli import main

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    main(words)
