"""A run directory: the files of a study, which stages are done, and whether their files are unchanged.

`run.json` identifies the run (settings, model, data, store). `stages/NAME.json`, the *marker* of a stage, is written when the
stage ends and lists the digest of every file that it wrote, so that files removed or changed later are noticed and computed
again. Both have a digest of their own content, and every marker repeats `run.json`, so that no single damaged file ends a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS, load, validate
from headatlas.results.sweep_files import run_record
from headatlas.storage import (
    LOCK,
    PART,
    SEAL,
    DamagedError,
    file_digest,
    lock_folder,
    read_regular,
    read_sealed,
    remove_parts,
    remove_tree,
    seal,
    write_whole,
)

RUN = "run.json"
"""The file that makes a folder a run directory."""

OWN_CHECKS = ("answers", "attention", "capture", "sweep", "stages")
"""Folders of a run that markers do not list: their files have digests of their own, or are not read again."""


class RunDir:
    """The run directory at `root`, which is made when the first file is written.

    Raises:
        HeadAtlasError: `root` is a file.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise HeadAtlasError(f"the run directory must be a folder, got the file {str(root)!r}: name another folder")
        self.results = self.root / "results"
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}
        self._stack: ExitStack | None = None
        self._is_locked = False
        self._before: dict[str, tuple[int, ...]] | None = None  # files that were there before `begin`
        self._made: list[Path] = []  # folders that `begin` made, the innermost first
        self._had_lock = True

    def __repr__(self) -> str:
        done = sorted(path.stem for path in (self.root / "stages").glob("*.json"))
        return f"RunDir({str(self.root)!r}, done: {', '.join(done) or 'nothing'})"

    # -- one process at a time -------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other process can work in the run; a folder that does not exist yet is locked when it is made.

        Raises:
            HeadAtlasError: another process is working in it.
        """
        if self._stack is not None:
            yield
            return
        with ExitStack() as self._stack:
            try:
                if self.root.is_dir():
                    self._lock()
                yield
            finally:
                self._stack, self._is_locked = None, False

    def _lock(self) -> None:
        assert self._stack is not None
        if self.is_run():
            self._stack.enter_context(lock_folder(self.root, "run"))
            self._is_locked = True
            for folder in (".", "results", "stages", "sweep", "answers", "answers/shards", "capture", "capture/parts"):
                remove_parts(self.root / folder)

    def begin(self, record: dict[str, Any]) -> None:
        """Make the folder a run with this record, before the first stage; an existing run continues.

        Args:
            record: as `run.json` keeps it; see `record`.
        """
        mine = json.loads(json.dumps(record))
        new = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        had_lock = (self.root / LOCK).exists()
        if self._stack is not None and not self._is_locked:  # it was no run when it was opened, and may be one by now
            self._stack.enter_context(lock_folder(self.root, "run"))
            self._is_locked = True
            if self.is_run() and self.record() not in (None, mine):
                raise HeadAtlasError(f"{str(self.root)!r} holds another run: name another folder")
        if self.record() == mine and read_sealed(self.root / RUN) is not None:
            return
        if self.record() is None:
            self._before, self._made, self._had_lock = self._files(), new, had_lock
        self._write_sealed(RUN, {"run": record})

    def abandon(self) -> None:
        """Remove what `begin` made, after a first stage that failed before it wrote anything."""
        if self._before is None or self._files() != self._before or any((self.root / "stages").glob("*.json")):
            return
        (self.root / RUN).unlink(missing_ok=True)
        remove_tree(self.root / "stages")
        if not self._had_lock:
            (self.root / LOCK).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):  # it has other files
                folder.rmdir()
        self._before = None

    # -- files -----------------------------------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> Path:
        """Write a file below the run directory as UTF-8, in one step."""
        path = self.root / name
        write_whole(path, text.encode())
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file in one step."""
        return self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `results/<name>.csv` with all digits, after a check against `headatlas.results`."""
        self.write_text(f"results/{name}.csv", validate(name, table).to_csv(index=False))

    def read_table(self, name: str) -> pd.DataFrame:
        """Read `results/<name>.csv`, typed as in `headatlas.results`; no rows if its stage wrote none or has not run.

        Raises:
            DamagedError: it is there, but is no table of its kind.
        """
        try:
            return load(self.results, name)
        except HeadAtlasError as error:
            if name not in RESULTS:
                raise
            raise DamagedError(str(error)) from error

    # -- stages ----------------------------------------------------------------------------------------------------

    def is_run(self) -> bool:
        """Whether the folder holds a run of HeadAtlas."""
        return (self.root / RUN).is_file() or any((self.root / "stages").glob("*.json"))

    def marker(self, stage: str) -> dict[str, Any] | None:
        """A stage's marker: stage, fingerprint, seconds, resumed, files, outputs, run.

        None if it has not ended, or if its marker is damaged or names a file outside of the run.
        """
        content = read_sealed(self.root / "stages" / f"{stage}.json")
        return content if content is None or all(map(_is_inside, content.get("files", {}))) else None

    def is_done(self, stage: str, fingerprint: str) -> bool:
        """Whether a stage ended with these inputs and all its files are unchanged."""
        marker = self.marker(stage)
        return marker is not None and marker["fingerprint"] == fingerprint and not self.damaged(stage)

    def has_run(self, stage: str) -> bool:
        """Whether a stage ended, with any inputs, even if its files were removed or changed since."""
        return (self.root / "stages" / f"{stage}.json").exists()

    def damaged(self, stage: str) -> list[str]:
        """Files of an ended stage that are missing or changed, its marker included; sorted."""
        if not self.has_run(stage):
            return []
        marker = self.marker(stage)
        if marker is None:
            return [f"stages/{stage}.json"]
        return sorted(name for name, digest in marker["files"].items() if self._digest(name) != digest)

    def clear(self, stage: str) -> list[str]:
        """Remove a stage's damaged files before it runs again; returns their names, sorted.

        Raises:
            HeadAtlasError: one of its files is now a folder that is not empty.
        """
        lost = self.damaged(stage)
        for name in lost:
            path = self.root / name
            try:
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise HeadAtlasError(
                    f"{str(path)!r} cannot be removed ({error.strerror}), but a file that the stage {stage} writes belongs "
                    "there: move it away"
                ) from error
        return lost

    def outputs(self, stage: str) -> str:
        """Hex digest of a stage's files, without running times; empty if it has not ended. Later stages depend on it."""
        return (self.marker(stage) or {"outputs": ""})["outputs"]

    @contextmanager
    def running(self, stage: str, fingerprint: str) -> Iterator[None]:
        """Time a stage, and mark it done when the block ends without an exception.

        Every file written within the block is listed in the marker with its digest. The time of killed attempts is not known
        and not counted; `resumed` is True if there were any.
        """
        begun = self.root / "stages" / f"{stage}.begun"
        resumed = begun.exists()
        write_whole(begun, b"")
        (self.root / "stages" / f"{stage}.json").unlink(missing_ok=True)  # its files are about to be written again
        before = self._files()
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        files = {name: self._digest(name) for name, stat in self._files().items() if before.get(name) != stat}
        marker = {"stage": stage, "fingerprint": fingerprint, "seconds": round(seconds, 2), "resumed": resumed}
        outputs = hashlib.sha256(
            json.dumps({name: self._content(name, files[name]) for name in sorted(files)}).encode()
        )
        marker |= {"files": files, "outputs": outputs.hexdigest()[:16], "run": self.record()}
        self._write_sealed(f"stages/{stage}.json", marker)
        begun.unlink(missing_ok=True)

    def timings(self, stages: tuple[str, ...]) -> list[dict[str, Any]]:
        """Rows of `timings.json`: stage, seconds, resumed, in the order of `stages`."""
        markers = [self.marker(stage) for stage in stages]
        return [{key: m[key] for key in ("stage", "seconds", "resumed")} for m in markers if m]

    def _files(self) -> dict[str, tuple[int, ...]]:
        """Every file that markers list, with its status (size and times), which changes when it is written."""
        files = {}
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            hidden = {name for name in (*folders, *names) if name.startswith(".")}  # locks, and temporary files
            own = set(OWN_CHECKS) if here == self.root else set()
            folders[:] = [name for name in folders if name not in hidden | own]
            for name in names:
                path = here / name
                if name not in hidden and not PART.fullmatch(name) and path != self.root / RUN and path.is_file():
                    files[path.relative_to(self.root).as_posix()] = _stat(path)
        return files

    def _digest(self, name: str) -> str:
        """Hex digest of a file, empty if it is not there; read again only when the file changed."""
        path = self.root / name
        try:
            if not path.is_file():
                return ""
            stat = _stat(path)
            if self._digests.get(name, ((), ""))[0] != stat:
                self._digests[name] = stat, file_digest(path)
            return self._digests[name][1]
        except OSError:
            return ""

    def _content(self, name: str, digest: str) -> str:
        """Digest of a file; of a JSON file without its running times, which differ whenever it is written."""
        if not name.endswith(".json"):
            return digest
        try:
            value = json.loads(read_regular(self.root / name))
        except (OSError, ValueError):
            return digest
        return hashlib.sha256(json.dumps(_without_seconds(value), sort_keys=True).encode()).hexdigest()

    # -- identity --------------------------------------------------------------------------------------------------

    def record(self) -> dict[str, Any] | None:
        """The record given to `begin`; read from a marker if `run.json` is damaged, None if all are."""
        return run_record(self.root)

    def _write_sealed(self, name: str, value: dict[str, Any]) -> None:
        text = json.dumps({**value, "seal": SEAL.decode()}, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.root / name, seal(text.encode()))


def _is_inside(name: str) -> bool:
    """Whether a file that a marker names lies inside the run directory; only such files may be removed."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seconds(one) for key, one in value.items() if key != "seconds"}
    return [_without_seconds(one) for one in value] if isinstance(value, list) else value


def _stat(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
