"""What a report reads: the results tables and the small JSON files of one run directory.

A missing file gives an empty table and a sentence about it, because a report shows what there is. A file that is not what a
study writes is an error, because its numbers cannot be trusted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS, Table, read_csv
from headatlas.results.sweep_files import Sweeps, read_sweeps
from headatlas.storage import file_digest, held_for_reading, is_sealed, read_regular


@dataclass(frozen=True)
class Run:
    """Everything that a report may show.

    Attributes:
        path: the run directory.
        tables: every results table by name; one that the run does not have is empty, with its columns.
        absent: for each table or file without rows, one sentence that says why.
        settings: settings.json.
        timings: timings.json, one entry for each stage.
        claims: the entries of claims.json.
        level: the level at which a control counts as beaten, None if not recorded.
        examples: results/examples.json.
        looking: results/looking.json, what heads look at in a few questions.
        sweeps: the sweeps in sweep/.
        folder: the folder in `path` that holds the tables.
    """

    path: Path
    tables: dict[str, pd.DataFrame]
    absent: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    timings: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    level: float | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)
    looking: dict[str, Any] = field(default_factory=dict)
    sweeps: Sweeps = field(default_factory=lambda: Sweeps({}))
    folder: str = "results"

    def why(self, *names: str) -> str:
        """One sentence for each of the tables `names` that has no rows; empty if all have some."""
        return " ".join(self.absent[name] for name in names if name in self.absent)

    def __repr__(self) -> str:
        model = self.settings.get("model") or "unknown model"
        filled = sum(len(table) > 0 for table in self.tables.values())
        return f"<Run {str(self.path)!r} of {model}: {filled} tables, {len(self.claims)} verdicts>"


def read_run(path: str | Path, *, is_growing: bool = False) -> Run:
    """Read the run directory `path`.

    Args:
        path: the run directory.
        is_growing: read it although a study is working in it, for a page that is rendered again and again.

    Raises:
        HeadAtlasError: `path` is not a run directory, another process is working in it, or one of its files is damaged; it names
            the file.
    """
    path = Path(path)
    with nullcontext() if is_growing else held_for_reading(path, "run"):
        return _read(path)


def _read(path: Path) -> Run:
    if not path.is_dir():
        raise HeadAtlasError(
            f"{path} must be a run directory: run `headatlas study MODEL --out {shlex.quote(str(path))}` first"
        )
    if not (path / "results").is_dir() and not (path / "settings.json").is_file():
        raise HeadAtlasError(f"{path} must be a run directory, got a folder without results/ and settings.json")
    check_files(path)
    tables, absent = read_tables(path / "results", RESULTS)
    claims = _claims(path / "claims.json")
    records = {"examples": path / "results" / "examples.json", "timings": path / "timings.json"}
    lists = {name: _records(file) for name, file in records.items()}
    for name, file in records.items():
        if not lists[name]:
            absent[name] = f"{EMPTY.get(name, NOT_RUN)}: {file.relative_to(path)} is missing or empty."
    if not claims["claims"]:
        absent["claims"] = "No claim was judged: claims.json is missing or empty."
    return Run(
        path=path,
        tables=tables,
        absent=absent,
        settings=_json(path / "settings.json", dict),
        timings=lists["timings"],
        claims=claims["claims"],
        level=claims["level"],
        examples=lists["examples"],
        looking=_json(path / "results" / "looking.json", dict),
        sweeps=read_sweeps(path),
    )


NOT_RUN = "This part was not run"

EMPTY = {
    "examples": "No heads were silenced, so there are no answers to compare",
    "methods": "No activation method was fitted (a quick study fits none)",
    "positive": "No heads were steered",
    "tuning": "No strength was tuned",
    "negative": "No heads were silenced",
    "gaze": "What heads look at was not measured: no step has a box around what it asks about",
    "groups": "No redundant groups of heads were searched or found",
    "overlap": "Fewer than two functions were scored",
}
"""What it means that a table or file has no rows."""

READ = ("results/", "claims.json", "settings.json", "atlas.json", "atlas.npz")
"""How the names of checked files begin. timings.json is not checked: the stage `report` rewrites it before it is read."""


def check_files(path: Path) -> None:
    """Check that the files a report reads are those that the stages of the run in `path` wrote, by their digests.

    A stage's marker, `stages/NAME.json`, lists the digest of every file that the stage wrote. A run without markers, such as
    tables copied from one, is not checked.

    Raises:
        HeadAtlasError: a file is missing or was changed, or a marker is damaged; it names the file.
    """
    for marker in sorted((path / "stages").glob("*.json")):
        try:
            data = read_regular(marker)
            files = json.loads(data)["files"] if is_sealed(data) else None
            damaged = None if files is None else [name for name in sorted(files) if _differs(path, name, files[name])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            damaged = None
        if damaged is None:
            damaged = [f"stages/{marker.name}"]
        if damaged:
            raise HeadAtlasError(f"{path / damaged[0]} is missing or was changed since the study wrote it: {_AGAIN}")


def _differs(path: Path, name: str, digest: str) -> bool:
    if not name.startswith(READ):
        return False
    return not (path / name).is_file() or file_digest(path / name) != digest


def read_tables(folder: Path, described: Mapping[str, Table]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """The tables `described` from `<folder>/<name>.csv`, and for those without rows the reason.

    Raises:
        HeadAtlasError: a file is not a table of its kind; it names the file.
    """
    tables, absent = {}, {}
    for name, table in described.items():
        file = folder / f"{name}.csv"
        tables[name] = read_csv(file, table)
        if tables[name].empty:
            there = file.is_file()
            reason = EMPTY.get(name, "There was nothing to measure") if there else NOT_RUN
            why = "has no rows" if there else "was not written by this run"
            absent[name] = f"{reason}: {folder.name}/{file.name} {why}."
    return tables, absent


def only(frame: pd.DataFrame, **wanted: str | list[str]) -> pd.DataFrame:
    """The rows of `frame` whose columns have the values `wanted` (one value, or any of a list)."""
    for column, value in wanted.items():
        values = [value] if isinstance(value, str) else value
        frame = frame.loc[frame[column].isin(values), :]  # type: ignore[assignment]
    return frame


def records(frame: pd.DataFrame) -> list[Any]:
    """The rows of `frame` as named tuples. Typed as Any because pandas does not say which fields they have."""
    return list(frame.itertuples(index=False))


def _claims(file: Path) -> dict[str, Any]:
    value = _json(file, dict)
    entries = value.get("claims", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise HeadAtlasError(f"{file} must hold a list of claims, got {_short(entries)}: {_AGAIN}")
    level = value.get("level", value.get("q"))
    return {"claims": entries, "level": level if isinstance(level, (int, float)) else None}


def _records(file: Path) -> list[dict[str, Any]]:
    entries = _json(file, list)
    if not all(isinstance(entry, dict) for entry in entries):
        raise HeadAtlasError(f"{file} must hold a list of records, got {_short(entries)}: {_AGAIN}")
    return entries


_AGAIN = "run `headatlas study` on this folder again"


def _json(file: Path, kind: type) -> Any:
    """The content of a JSON file, an empty `kind` (dict or list) if it is missing."""
    if not file.is_file():
        return kind()
    try:
        value = json.loads(read_regular(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeadAtlasError(f"{file} must hold JSON ({error}): {_AGAIN}") from error
    if not isinstance(value, kind):
        raise HeadAtlasError(f"{file} must hold a JSON {_NAMES[kind]}, got {_short(value)}: {_AGAIN}")
    return value


_NAMES = {dict: "object", list: "list"}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
