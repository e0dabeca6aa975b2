"""Another process that holds the lock of a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CODE = "import sys, filelock; x = filelock.FileLock(sys.argv[1]); x.acquire(); print('locked', flush=True); sys.stdin.read()"


@contextmanager
def locked_elsewhere(folder: Path) -> Iterator[None]:
    """Within the block a real second process holds the lock of `folder`."""
    command = [sys.executable, "-c", CODE, str(folder / ".headatlas.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            other.stdin.close()
