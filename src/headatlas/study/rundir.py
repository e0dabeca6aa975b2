"""A run directory: where a study's files lie, which stages are done, and how long they took.

Knows paths, markers and how to write a file whole: beside its place, then renamed, so that a process killed at any moment
leaves either the old file or the new one. Knows nothing of what the files say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.results import load, validate


class RunDir:
    """The run directory at `root`; made if it is not there."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise HeadAtlasError(f"expected a folder for the run, came the file {str(root)!r}: name another folder")
        self.results = self.root / "results"
        self._markers = self.root / "stages"
        for folder in (self.root, self.results, self._markers):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self.root.rglob("*.part"):
            left.unlink(missing_ok=True)

    # -- files -----------------------------------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> Path:
        """Write a file below the run directory, whole."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file, whole."""
        return self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def read_json(self, name: str, default: Any = None) -> Any:
        """Read a JSON file, `default` if it is not there."""
        path = self.root / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `results/<name>.csv`, whole, numbers with all their digits, after a check against `headatlas.results`."""
        self.write_text(f"results/{name}.csv", validate(name, table).to_csv(index=False))

    def read_table(self, name: str) -> pd.DataFrame:
        """Read `results/<name>.csv`, typed as in `headatlas.results`; no rows if its stage wrote none or has not run."""
        return load(self.results, name)

    # -- stages ----------------------------------------------------------------------------------------------------

    def is_done(self, stage: str, fingerprint: str) -> bool:
        """Whether a stage ended with these inputs."""
        return self.read_json(f"stages/{stage}.json", {}).get("fingerprint") == fingerprint

    def has_run(self, stage: str) -> bool:
        """Whether a stage ended, whatever its inputs were."""
        return (self._markers / f"{stage}.json").exists()

    @contextmanager
    def running(self, stage: str, fingerprint: str) -> Iterator[None]:
        """Time a stage and mark it done when the block ends without an exception.

        The seconds of tries that were killed are not known and not counted; `resumed` tells that there were some.
        """
        begun = self.root / "stages" / f"{stage}.begun"
        resumed = begun.exists()
        begun.touch()
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        marker = {"stage": stage, "fingerprint": fingerprint, "seconds": round(seconds, 2), "resumed": resumed}
        self.write_json(f"stages/{stage}.json", marker)
        begun.unlink()

    def timings(self, stages: tuple[str, ...]) -> list[dict[str, Any]]:
        """What `timings.json` holds: stage, seconds, resumed, in the order of `stages`."""
        markers = [self.read_json(f"stages/{stage}.json") for stage in stages]
        return [{key: m[key] for key in ("stage", "seconds", "resumed")} for m in markers if m]

    # -- identity --------------------------------------------------------------------------------------------------

    def claim(self, identity: dict[str, Any]) -> None:
        """Make this the run of one model, dataset and settings, or check that it is.

        Raises:
            HeadAtlasError: The folder holds a run of another model, dataset or settings; it names the first difference.
        """
        there = self.read_json("settings.json")
        if there is None:
            return
        for key, value in identity.items():
            if key in there and there[key] != json.loads(json.dumps(value)):
                raise HeadAtlasError(
                    f"{str(self.root)!r} holds a run with {key}={there[key]!r}, this one has {key}={value!r}: "
                    "name another folder, or delete that one"
                )
