"""Votes of people on steps, in a SQLite file to which is only ever added.

Knows SQLite and what a vote is; knows nothing of pages and of decisions. A vote is committed and flushed to the disk before `add`
returns. A later vote of the same person on the same step replaces the earlier one, which stays in the file:
provenance is complete.
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
    """What a step should say instead."""

    text: Short
    answer: Short
    answer_type: AnswerType
    options: tuple[Short, ...] = Field(default=(), max_length=26)


class Vote(_Record):
    """What one person says of one step at one time."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
    """Made where the vote is cast, so that a vote sent twice counts once."""
    question: str
    step: int = Field(ge=WHOLE)
    annotator: Name
    role: Role = "annotator"
    verdict: Verdict
    """Empty: functions are marked, but nothing is decided yet; it does not count. On a whole question only "" or "reject"."""
    functions: tuple[str, ...] = ()
    """The cognitive functions that the step needs, primary first."""
    change: Change | None = None
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    at: str = ""
    """When it was kept, UTC, ISO 8601; set by the store."""

    @field_validator("annotator")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("expected a name of printable characters")
        return name

    @field_validator("functions")
    @classmethod
    def _known(cls, functions: tuple[str, ...]) -> tuple[str, ...]:
        for name in functions:
            check_function(name)
        if len(set(functions)) != len(functions):
            raise ValueError("expected each function once")
        return functions

    @model_validator(mode="after")
    def _whole(self) -> Vote:
        if self.step == WHOLE and self.verdict not in ("", "reject"):
            raise ValueError("a whole question is rejected or not: what is right of it is said step by step")
        if self.step != WHOLE and self.verdict in ("accept", "fix") and not self.functions:
            raise ValueError("expected at least one function for a step that stays")
        if (self.verdict == "fix") != (self.change is not None):
            raise ValueError('expected a changed text and answer with "fix", and only with it')
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
    """16 hex digits of all texts that votes are about. Images do not count: one that is re-encoded changes no vote."""
    digest = hashlib.blake2b(digest_size=8)
    for question in data.without_images():
        digest.update(question.model_dump_json(include={"id", "text", "answer", "options", "steps"}).encode())
    return digest.hexdigest()


class VoteStore:
    """The votes on one dataset, in the SQLite file `path`, made if missing. Usable from several threads and processes."""

    def __init__(self, path: str | Path, data: CogVSR):
        self.path = Path(path)
        self.fingerprint = fingerprint_of_steps(data)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # WAL alone may lose the last commits when the power goes
            self._db.executescript(_SCHEMA)
            for key, value in (("steps", self.fingerprint), ("dataset", data.name)):
                self._db.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (key, value))
            about = dict(self._db.execute("SELECT key, value FROM about"))
        except (sqlite3.Error, OSError) as error:
            raise HeadAtlasError(f"{path}: cannot be used as a file of votes ({error}); name another") from error
        if about["steps"] != self.fingerprint:
            self._db.close()
            raise HeadAtlasError(
                f"{path} holds votes on other steps (dataset {about['dataset']!r}, {about['steps']}), came {data.name!r} "
                f"({self.fingerprint}): name the dataset they were cast on, or a new file"
            )

    def add(self, vote: Vote) -> Vote:
        """Keep a vote and return it with its time; on return it is on the disk. A vote whose id is known is not kept twice."""
        kept = vote.model_copy(update={"at": datetime.now(UTC).isoformat(timespec="milliseconds")})
        change = kept.change.model_dump_json() if kept.change else None
        values = (kept.id, kept.question, kept.step, kept.annotator, kept.role, kept.verdict,
                  json.dumps(kept.functions), change, kept.note, kept.at)  # fmt: skip
        with self._locked() as db:
            marks = ", ".join("?" * len(_COLUMNS))
            db.execute(f"INSERT OR IGNORE INTO votes ({', '.join(_COLUMNS)}) VALUES ({marks})", values)
        return kept

    def votes(self, annotator: str | None = None, role: Role | None = None, question: str | None = None) -> list[Vote]:
        """The votes that hold: of each person and role the latest on each step, in the order in which they were cast."""
        latest = "SELECT MAX(seq) FROM votes GROUP BY annotator, role, question, step"
        query = f"SELECT {{}} FROM votes WHERE seq IN ({latest}){{}} ORDER BY seq"
        return self._select(query, annotator, role, question)

    def history(self, question: str | None = None) -> list[Vote]:
        """Every vote ever cast, in order."""
        return self._select("SELECT {} FROM votes WHERE 1{} ORDER BY seq", None, None, question)

    def annotators(self) -> list[str]:
        """Who has voted as annotator, in order of their first vote."""
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
        asked = {"annotator": annotator, "role": role, "question": question}
        given = {key: value for key, value in asked.items() if value is not None}
        where = "".join(f" AND {key} = ?" for key in given)
        with self._locked() as db:
            rows = db.execute(query.format(", ".join(_COLUMNS), where), tuple(given.values())).fetchall()
        return [_vote(row) for row in rows]

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._db


def _vote(row: tuple) -> Vote:
    fields = dict(zip(_COLUMNS, row, strict=True))
    change = Change.model_validate_json(fields["change"]) if fields["change"] else None
    return Vote.model_validate({**fields, "functions": json.loads(fields["functions"]), "change": change})
