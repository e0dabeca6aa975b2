"""A SQLite file of people's votes on steps; votes are added and never changed.

A vote is flushed to the disk before `add` returns. A later vote of the same person on the same step replaces the earlier one,
which stays in the file as provenance.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from headatlas.cogvsr.functions import check_function
from headatlas.cogvsr.schema import AnswerType
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError

Verdict = Literal["", "accept", "fix", "reject"]
Role = Literal["annotator", "adjudicator"]
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]

WHOLE = -1
"""The step number of a vote on the main question as a whole."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(_Record):
    """The text, answer, type and options that a step should have instead."""

    text: Short
    answer: Short
    answer_type: AnswerType
    options: tuple[Short, ...] = Field(default=(), max_length=26)


class Vote(_Record):
    """The vote of one person on one step at one time."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
    """Created where the vote is cast, so that a vote that is sent twice counts once."""
    question: str
    step: int = Field(ge=WHOLE)
    annotator: Name
    role: Role = "annotator"
    verdict: Verdict
    """Empty if only functions are marked so far; such a vote does not count. On a whole question "" or "reject"."""
    functions: tuple[str, ...] = ()
    """The cognitive functions that the step needs, the primary one first."""
    change: Change | None = None
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    at: str = ""
    """When it was stored, UTC, ISO 8601; set by the store."""

    @field_validator("annotator")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("the name must have printable characters only")
        return name

    @field_validator("functions")
    @classmethod
    def _known(cls, functions: tuple[str, ...]) -> tuple[str, ...]:
        for name in functions:
            check_function(name)
        if len(set(functions)) != len(functions):
            raise ValueError("every function must be given once")
        return functions

    @model_validator(mode="after")
    def _whole(self) -> Vote:
        if self.step == WHOLE and self.verdict not in ("", "reject"):
            raise ValueError("a whole question can only be rejected; everything else is voted on step by step")
        if self.step != WHOLE and self.verdict in ("accept", "fix") and not self.functions:
            raise ValueError("a step that stays must have at least one function")
        if (self.verdict == "fix") != (self.change is not None):
            raise ValueError('a changed text and answer must come with the verdict "fix", and only with it')
        return self


_COLUMNS = ("id", "question", "step", "annotator", "role", "verdict", "functions", "change", "note", "at")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS votes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, question TEXT NOT NULL, step INTEGER NOT NULL,
  annotator TEXT NOT NULL, role TEXT NOT NULL, verdict TEXT NOT NULL, functions TEXT NOT NULL, change TEXT,
  note TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS of_whom ON votes (annotator, role, question, step);
"""


def fingerprint_of_steps(data: CogVSR) -> str:
    """16 hex digits of all texts that votes refer to. Images do not count, so that encoding one again does not matter."""
    digest = hashlib.blake2b(digest_size=8)
    for question in data.without_images():
        digest.update(question.model_dump_json(include={"id", "text", "answer", "options", "steps"}).encode())
    return digest.hexdigest()


class VoteStore:
    """The votes on one dataset in the SQLite file `path`, which is created if it is missing.

    Several threads and processes may use one file.

    Raises:
        HeadAtlasError: the file cannot be used, or holds votes on another dataset.
    """

    def __init__(self, path: str | Path, data: CogVSR):
        self.path = Path(path)
        self.fingerprint = fingerprint_of_steps(data)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # WAL alone may lose the last commits on a power failure
            self._db.executescript(_SCHEMA)
            for key, value in (("steps", self.fingerprint), ("dataset", data.name)):
                self._db.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (key, value))
            about = dict(self._db.execute("SELECT key, value FROM about"))
            self._db.execute(f"SELECT seq, {', '.join(_COLUMNS)} FROM votes LIMIT 1").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise HeadAtlasError(f"{path}: cannot be used as a file of votes ({error}); name another file") from error
        if about["steps"] != self.fingerprint:
            self._db.close()
            raise HeadAtlasError(
                f"{path} holds votes on other steps (dataset {about['dataset']!r}, {about['steps']}), got {data.name!r} "
                f"({self.fingerprint}): name the dataset on which they were cast, or a new file"
            )

    def add(self, vote: Vote) -> Vote:
        """Store a vote and return it with its time; when this returns, it is on the disk.

        A vote whose id is already in the file is not stored again.
        """
        stored = vote.model_copy(update={"at": datetime.now(UTC).isoformat(timespec="milliseconds")})
        change = stored.change.model_dump_json() if stored.change else None
        values = (stored.id, stored.question, stored.step, stored.annotator, stored.role, stored.verdict,
                  json.dumps(stored.functions), change, stored.note, stored.at)  # fmt: skip
        with self._locked() as db:
            marks = ", ".join("?" * len(_COLUMNS))
            db.execute(f"INSERT OR IGNORE INTO votes ({', '.join(_COLUMNS)}) VALUES ({marks})", values)
        return stored

    def votes(self, annotator: str | None = None, role: Role | None = None, question: str | None = None) -> list[Vote]:
        """The current votes: the latest of each person and role on each step, in the order in which they were cast."""
        latest = "SELECT MAX(seq) FROM votes GROUP BY annotator, role, question, step"
        query = f"SELECT {{}} FROM votes WHERE seq IN ({latest}){{}} ORDER BY seq"
        return self._select(query, annotator, role, question)

    def history(self, question: str | None = None) -> list[Vote]:
        """Every vote ever cast, in order."""
        return self._select("SELECT {} FROM votes WHERE 1{} ORDER BY seq", None, None, question)

    def annotators(self) -> list[str]:
        """The names of those who voted as annotators, in order of their first vote."""
        with self._locked() as db:
            return [
                name
                for (name,) in db.execute(
                    "SELECT annotator FROM votes WHERE role = 'annotator' GROUP BY annotator ORDER BY MIN(seq)"
                )
            ]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> VoteStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _select(self, query: str, annotator: str | None, role: str | None, question: str | None) -> list[Vote]:
        filters = {"annotator": annotator, "role": role, "question": question}
        given = {key: value for key, value in filters.items() if value is not None}
        where = "".join(f" AND {key} = ?" for key in given)
        with self._locked() as db:
            rows = db.execute(query.format(", ".join(_COLUMNS), where), tuple(given.values())).fetchall()
        try:
            return [_vote(row) for row in rows]
        except (ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise HeadAtlasError(
                f"{self.path}: holds a row that is no vote ({reason}); restore a copy of the file"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise HeadAtlasError(
                    f"{self.path}: the file of votes failed ({error}); free some space or unlock the file, or restore a copy of "
                    "a damaged one, then run the same command again"
                ) from error


def _vote(row: tuple) -> Vote:
    fields = dict(zip(_COLUMNS, row, strict=True))
    change = Change.model_validate_json(fields["change"]) if fields["change"] else None
    return Vote.model_validate({**fields, "functions": json.loads(fields["functions"]), "change": change})
