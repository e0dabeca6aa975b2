"""What a report reads: the results tables and the small JSON files of one run directory.

Knows the columns fixed in docs/architecture.md ("The results tables"); knows no model, no charts, no HTML. A table that is
missing, empty or lacks a column is an empty frame with a sentence that says so: a report shows what there is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError

COLUMNS: dict[str, str] = {
    "scores": "scorer function layer head value p",
    "selection": "scorer function selector count share heads reason",
    "sparsity": "scorer function count share share_above_threshold gini effective_number centroid",
    "overlap": "scorer function_a function_b jaccard jaccard_corrected",
    "agreement": "scorer function spearman low high top5_overlap top5_expected",
    "probe": "scorer split target measure function value low high n",
    "surface": "what group accuracy chance low high n",
    "baseline": "context group_kind group accuracy low high unparsable n",
    "metrics": "condition metric value low high n",
    "negative": "scorer function operation k heads before after drop low high random_drop random_low random_high n_random"
    " p p_mcnemar q unparsable_before unparsable_after n",
    "damage": "scorer heads_of steps_of k drop low high n",
    "dose": "scorer function k set accuracy low high unparsable n",
    "positive": "scorer function alpha arm before after gain low high p q unparsable_after n off_task_gain",
    "activation": "arm group accuracy gain low high p unparsable n",
    "tuning": "what scorer function value accuracy chosen",
}

_WORDS = """scorer function selector heads reason function_a function_b split target measure what group context group_kind
condition metric operation heads_of steps_of set arm chosen
model model_a model_b name family dtype model_fingerprint run setting told meaning kind scorer_a scorer_b
id title statement verdict unit control sentence"""

TEXT: frozenset[str] = frozenset(_WORDS.split())
"""The columns that hold words; all others hold numbers."""


@dataclass(frozen=True)
class Run:
    """Everything a report may show. `tables[name]` always has its columns; `absent[name]` says why one has no rows."""

    path: Path
    tables: dict[str, pd.DataFrame]
    absent: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    timings: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    q: float | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)
    folder: str = "results"
    """Where the tables lie in `path`."""

    def why(self, *names: str) -> str:
        """One sentence for each of the tables `names` that has nothing to show."""
        return " ".join(self.absent[name] for name in names if name in self.absent)


def read_run(path: Path) -> Run:
    """Read the run directory `path`; HeadAtlasError if it is none."""
    path = Path(path)
    if not path.is_dir():
        raise HeadAtlasError(f"expected a run directory, came {path}: run `headatlas study MODEL --out {path}` first")
    if not (path / "results").is_dir() and not (path / "settings.json").is_file():
        raise HeadAtlasError(f"expected results/ or settings.json in {path}, found neither: is it a run directory?")
    tables, absent = read_tables(path / "results", COLUMNS)
    claims = _json(path / "claims.json", dict)
    records = {"examples": path / "results" / "examples.json", "timings": path / "timings.json"}
    lists = {name: [item for item in _json(file, list) if isinstance(item, dict)] for name, file in records.items()}
    for name, file in records.items():
        if not lists[name]:
            absent[name] = f"There is nothing here because {file.relative_to(path)} is missing or empty."
    entries = claims.get("claims")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not entries:
        absent["claims"] = "There are no verdicts here because claims.json is missing or empty."
    return Run(
        path=path,
        tables=tables,
        absent=absent,
        settings=_json(path / "settings.json", dict),
        claims=entries,
        q=claims.get("level") if isinstance(claims.get("level"), (int, float)) else None,
        timings=lists["timings"],
        examples=lists["examples"],
    )


def read_tables(folder: Path, columns: dict[str, str]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """The tables named in `columns` from `folder`, and for those that have no rows the reason."""
    found = {name: _table(folder / f"{name}.csv", wanted.split()) for name, wanted in columns.items()}
    return {name: table for name, (table, _) in found.items()}, {name: why for name, (_, why) in found.items() if why}


def only(frame: pd.DataFrame, **wanted: str | list[str]) -> pd.DataFrame:
    """The rows of `frame` whose columns have the values `wanted` (one value, or any of a list)."""
    for column, value in wanted.items():
        values = [value] if isinstance(value, str) else value
        frame = frame.loc[frame[column].isin(values), :]  # type: ignore[assignment]
    return frame


def records(frame: pd.DataFrame) -> list[Any]:
    """The rows of `frame` as named tuples. Typed as Any because pandas does not say which fields they have."""
    return list(frame.itertuples(index=False))


def _table(file: Path, columns: list[str]) -> tuple[pd.DataFrame, str]:
    empty = pd.DataFrame({column: pd.Series(dtype="object" if column in TEXT else "float64") for column in columns})
    where = f"{file.parent.name}/{file.name}"
    if not file.is_file():
        return empty, f"There is nothing here because {where} was not written by this run."
    try:
        # Everything as text first: pandas would read the selector called "null" as a missing value.
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return empty, f"There is nothing here because {where} is empty or not a CSV table."
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        return empty, f"There is nothing here because {where} lacks {', '.join(lacking)}."
    if frame.empty:
        return empty, f"There is nothing here because {where} has no rows."
    for column in columns:
        if column not in TEXT:
            numbers = pd.Series(pd.to_numeric(frame[column], errors="coerce"), index=frame.index)
            frame[column] = numbers.astype("float64")
    frame = frame[columns].copy()
    if "chosen" in frame.columns:
        frame["chosen"] = frame["chosen"].str.lower().isin(["true", "1", "1.0", "yes"])
    return frame, ""


def _json(file: Path, kind: type) -> Any:
    if not file.is_file():
        return kind()
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise HeadAtlasError(f"expected JSON in {file}, came something else ({error}): run the study again") from error
    return value if isinstance(value, kind) else kind()
