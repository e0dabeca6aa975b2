"""A SQLite file of replies, so that no reply is paid for twice.

A reply is flushed to the disk before it is used. A process that is killed and started again finds every reply that had arrived.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, Timeout

from headatlas.annotate.llm.server_errors import BROKEN_OFF
from headatlas.errors import HeadAtlasError
from headatlas.printing import brief
from headatlas.storage import file_lock


@dataclass(frozen=True)
class Reply:
    """What a model replied."""

    content: str
    finish: str = "stop"
    """Why the reply ended: `stop`, `length` (cut short), `content_filter`, `refusal`, or another word of the server."""
    model: str = ""
    """The model as the server names it."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    __repr__ = brief


_COLUMNS = tuple(field.name for field in fields(Reply))


class ReplyCache:
    """Replies by key in the SQLite file `path`, which is created if it is missing.

    Several threads may use one cache, but only one process at a time may open a file, because two processes asking the same
    questions would both pay. `path + ".lock"` marks it as open; the operating system releases the lock when the process ends.

    Raises:
        HeadAtlasError: the file is open elsewhere, or cannot be used as a cache.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._thread_lock = threading.Lock()
        self._process_lock: BaseFileLock | None = None
        try:
            if str(path) != ":memory:":
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._process_lock = file_lock(Path(f"{self.path}.lock"), is_singleton=False, thread_local=False)
            self._db = sqlite3.connect(self.path, timeout=5, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # WAL alone may lose the last commits when the power fails
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, asked TEXT, prompt TEXT, content TEXT, "
                "finish TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, at TEXT)"
            )
            self._db.execute(f"SELECT asked, prompt, at, {', '.join(_COLUMNS)} FROM replies LIMIT 1").fetchall()
        except Timeout as error:
            raise HeadAtlasError(
                f"{path}: another process is using this cache of replies; wait until it ends, or name another file"
            ) from error
        except (sqlite3.Error, OSError) as error:
            self._unlock()
            raise HeadAtlasError(
                f"{path}: cannot be used as a cache of replies ({error}); name another file"
            ) from error

    def get(self, key: str) -> Reply | None:
        """The reply stored under `key`, None if there is none or its row is damaged."""
        with self._connection() as db:
            row = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None or [type(value) for value in row] != [str, str, str, int, int]:
            return None
        reply = Reply(*row)
        return None if reply.finish in BROKEN_OFF else reply  # earlier versions stored these as replies

    def put(self, key: str, reply: Reply, asked: str, prompt: str) -> None:
        """Store a reply; when this returns, it is on the disk.

        Args:
            key: what `get` finds it by.
            reply: the reply.
            asked: the model as the user names it.
            prompt: version of the prompt.
        """
        values = (key, asked, prompt, *astuple(reply), datetime.now(UTC).isoformat(timespec="seconds"))
        with self._connection() as db:
            db.execute(
                f"INSERT OR REPLACE INTO replies (key, asked, prompt, {', '.join(_COLUMNS)}, at) "
                f"VALUES ({', '.join('?' * len(values))})",
                values,
            )

    def totals(self) -> dict[str, dict[str, int]]:
        """Calls and tokens of all replies in the file, by model: `{model: {calls, prompt_tokens, completion_tokens}}`."""
        with self._connection() as db:
            rows = db.execute(
                "SELECT asked, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens) FROM replies GROUP BY asked ORDER BY asked"
            ).fetchall()
        return {name: {"calls": n, "prompt_tokens": a, "completion_tokens": b} for name, n, a, b in rows}

    def close(self) -> None:
        """Close the file, so that another process may open it."""
        with self._thread_lock:
            self._db.close()
        self._unlock()

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._connection() as db:
            return db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._thread_lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise HeadAtlasError(
                    f"{self.path}: the cache of replies failed ({error}); earlier replies are kept: free some space or unlock "
                    "the file, or move a damaged one away, then run the same command again"
                ) from error

    def _unlock(self) -> None:
        if self._process_lock is not None:
            self._process_lock.release()
