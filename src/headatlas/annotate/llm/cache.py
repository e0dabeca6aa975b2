"""Replies on disk: what was paid for once is never asked again.

Knows SQLite; knows nothing of HTTP. A reply is committed, and flushed to the disk, before anyone may use it, so that a process
killed at any moment and started again finds every reply that had arrived. Several processes may share a file.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from headatlas.errors import HeadAtlasError


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    content: str
    finish: str = "stop"
    """Why it ended: `stop`, `length` (cut short), `content_filter`, `refusal`, or what else the server says."""
    model: str = ""
    """The model as the server names it."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


_COLUMNS = tuple(field.name for field in fields(Reply))


class ReplyCache:
    """Replies by key in the SQLite file `path`, made if missing. Usable from several threads."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # WAL alone may lose the last commits when the power goes
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, asked TEXT, prompt TEXT, content TEXT, "
                "finish TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, at TEXT)"
            )
        except (sqlite3.Error, OSError) as error:
            raise HeadAtlasError(
                f"{path}: cannot be used as a cache of replies ({error}); name another file"
            ) from error

    def get(self, key: str) -> Reply | None:
        """The reply kept under `key`, if any."""
        with self._lock:
            row = self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM replies WHERE key = ?", (key,)).fetchone()
        return Reply(*row) if row else None

    def put(self, key: str, reply: Reply, asked: str, prompt: str) -> None:
        """Keep a reply; on return it is on the disk. `asked` is the model asked, `prompt` the prompt's version."""
        values = (key, asked, prompt, *astuple(reply), datetime.now(UTC).isoformat(timespec="seconds"))
        with self._lock:
            self._db.execute(
                f"INSERT OR REPLACE INTO replies (key, asked, prompt, {', '.join(_COLUMNS)}, at) "
                f"VALUES ({', '.join('?' * len(values))})",
                values,
            )

    def totals(self) -> dict[str, dict[str, int]]:
        """Calls and tokens of all that was ever asked, by model: `{model: {calls, prompt_tokens, completion_tokens}}`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT asked, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens) FROM replies GROUP BY asked ORDER BY asked"
            ).fetchall()
        return {name: {"calls": n, "prompt_tokens": a, "completion_tokens": b} for name, n, a, b in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._lock:
            return self._db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
