"""The sweeps of a run directory as files: `RUN/sweep/NAME.csv`, and beside it `NAME.json`, which says what it was run with.

The record holds the digests of the sweep's files, the identity of the run (settings, model, data) and the state of the stage that
it needed, so that a file that was changed, belongs to another run, or is out of date is noticed when it is read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.results.sweeps import SWEEP_TABLES
from headatlas.results.table import read_csv
from headatlas.storage import SEAL, file_digest, read_sealed, seal, write_whole

FOLDER = "sweep"


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep that was run.

    Attributes:
        table: its rows, as `SWEEP_TABLES` declares them.
        split: the split that it was evaluated on, or a part such as "E[:100]". `greedy` chose its heads on split S.
        operation: how heads were removed: `mean`, `zero` or `scale`.
        scope: the token positions at which they were removed.
        scorer: whose ranking or selection was taken; empty if none was.
        top: the number of heads from the top of the ranking; None: those that were selected.
        scored_on: the split on which the scorer scored and selected heads.
    """

    table: pd.DataFrame
    split: str
    operation: str
    scope: str
    scorer: str = ""
    top: int | None = None
    scored_on: str = "S"

    @property
    def chosen_here(self) -> bool:
        """Whether the heads were chosen on the questions that they are evaluated on, so that effects look too large."""
        return bool(self.scorer) and self.split.partition("[")[0] == self.scored_on

    def without(self, functions: Iterable[str]) -> Sweep:
        """The sweep without the rows of these functions."""
        rows = self.table[~self.table["function"].isin(list(functions))]
        return replace(self, table=rows.reset_index(drop=True))


@dataclass(frozen=True)
class Sweeps:
    """The sweeps of a run by name, and for each that cannot be shown one sentence that says why."""

    done: Mapping[str, Sweep]
    left_out: tuple[str, ...] = ()


def write_sweep_record(root: Path, name: str, facts: Mapping[str, Any], files: Iterable[Path], needs: str) -> Path:
    """Write `sweep/NAME.json` after the files of a sweep.

    Args:
        root: the run directory.
        name: the sweep.
        facts: split, operation, scope, scorer, top, scored_on; as in `Sweep`.
        files: what it wrote.
        needs: the stage whose results it took.
    """
    digests = {file.relative_to(root).as_posix(): file_digest(file) for file in files}
    record = {"sweep": name, **facts, "needs": needs, "outputs": _outputs(root, needs), "run": run_record(root)}
    text = json.dumps({**record, "files": digests, "seal": SEAL.decode()}, indent=1, ensure_ascii=False) + "\n"
    file = root / FOLDER / f"{name}.json"
    write_whole(file, seal(text.encode()))
    return file


def read_sweeps(root: str | Path) -> Sweeps:
    """Read the sweeps of the run directory `root`.

    Raises:
        HeadAtlasError: a file was changed since the sweep wrote it, or is of another model, dataset or settings; it names the
            file.
    """
    root = Path(root)
    done, left_out = {}, []
    for name, described in SWEEP_TABLES.items():
        table, file = root / FOLDER / f"{name}.csv", root / FOLDER / f"{name}.json"
        again = f"run `headatlas sweep {name} --out {shlex.quote(str(root))}` again"
        if not file.is_file():
            if table.is_file():
                left_out.append(f"{FOLDER}/{name}.csv is not shown, because the sweep did not end: {again}.")
            continue
        record = read_sealed(file)
        if record is None:
            raise HeadAtlasError(f"{file} was changed since the sweep wrote it: {again}, or remove it")
        for written, digest in record["files"].items():
            if not (root / written).is_file() or file_digest(root / written) != digest:
                raise HeadAtlasError(
                    f"{root / written} is missing or was changed since the sweep wrote it: {again}, or remove {file}"
                )
        own = run_record(root)
        if own is not None and own != record["run"]:
            raise HeadAtlasError(
                f"{file} must be of this run's model, data and settings, got a sweep of another run: {again}, or remove it"
            )
        if _outputs(root, record["needs"]) != record["outputs"]:
            left_out.append(
                f"{FOLDER}/{name}.csv is not shown, because the stage {record['needs']} has new results since: {again}."
            )
            continue
        facts = {key: record[key] for key in ("split", "operation", "scope", "scorer", "top", "scored_on")}
        done[name] = Sweep(table=read_csv(table, described), **facts)
    return Sweeps(done, tuple(left_out))


def run_record(root: Path) -> dict[str, Any] | None:
    """What `run.json` says of a run: settings, model, data; read from a stage's marker if it is damaged, None if all are."""
    for path in (root / "run.json", *sorted((root / "stages").glob("*.json"))):
        content = read_sealed(path)
        if content is not None and isinstance(content.get("run"), dict):
            return content["run"]
    return None


def _outputs(root: Path, stage: str) -> str:
    """The digest of a stage's files that its marker gives; empty without a marker."""
    return str((read_sealed(root / "stages" / f"{stage}.json") or {}).get("outputs", ""))
