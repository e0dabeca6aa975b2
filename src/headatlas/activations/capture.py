"""Capture, resumable: one teacher-forced pass for each question, which gives the mean z of every step and the model's answers.

Questions are processed in units of `UNIT`, in the order of the data. A unit's z is written first, then its answers, in one step
and with a digest of the z. A unit is done if its answers are there and its z still has that digest. Units are written by a thread
while the model runs the next one, or they run on several workers (`sharding.py`).
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd

from headatlas.activations.arrays import NAME, create_arrays, has_arrays, open_arrays, remove_folders
from headatlas.activations.sharding import capture_unit
from headatlas.activations.store import Activations, z_digest
from headatlas.activations.tokens import check_tokens
from headatlas.activations.unit import run_unit
from headatlas.cluster import Shard, Workers
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, read_frame, write_frame
from headatlas.heads import TEXT_TOWERS, Tower
from headatlas.progress import Progress
from headatlas.storage import LOCK, DamagedError, difference, write_error
from headatlas.vlm.chat import Arm, Conversation, conversations
from headatlas.vlm.data import Questions, fingerprint_of, steps_of, windows
from headatlas.vlm.model import VLM

UNIT = 64
"""Questions of a unit. It is part of the file format: a resumed run must have the same units."""

BEGUN = "begun.parquet"
"""A file that exists until the first capture into a folder ends."""

FORMAT = 2
"""Increased when the files or the meaning of z change, so that older captures are not continued."""


def capture(
    vlm: VLM,
    data: Questions,
    tokens: str | tuple[str, ...] = "gold",
    *,
    out: str | Path | None = None,
    batch_size: int = 16,
    arm: Arm | None = None,
    arm_name: str = "original",
    tower: Tower = "L",
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Activations:
    """Run the model once over every question, in gold context, and keep z, averaged over the selected tokens of every step.

    Args:
        vlm: the model; its active edits apply, and z is that after them.
        data: a `CogVSR` or any other dataset of questions.
        tokens: one selection or several of gold | predict | last | first | all.
        out: a new folder, or that of the same capture begun before, which is then continued; damaged units are computed again.
            A path, or an address that fsspec knows, such as `s3://bucket/run`. None: a temporary folder, removed with the
            result.
        batch_size: questions per forward.
        arm: gives the images and the text before the question that are shown instead (SHA); `arm_name` names it in the settings.
        tower: whose z: `L`, `X` (cross-attention) or, with tokens `all`, `V` (vision tower) and `C` (connector). In the last two
            every step has the mean over all positions of its question's pictures.
        progress: called as `progress("capture", done, total)`, in questions, those done before included.
        workers: processes on several devices or machines (`headatlas.cluster`) that run units instead of this one; all of
            them must see `out`. The result is the same.

    Returns:
        The activations, opened from `out`. Memory does not grow with the dataset.

    Raises:
        HeadAtlasError: unknown tokens, a tower that the model lacks or whose layers differ, an empty dataset, per-row edits, z
            or logits that are not finite, `out` holds a capture of another model, dataset or setting (the message says what
            differs), or another process is capturing into it.
    """
    chosen = check_tokens(tokens)
    if tower not in TEXT_TOWERS and chosen != ("all",):
        raise HeadAtlasError(
            f"tokens must be 'all' for tower {tower}, which sees the picture and no step, got {tokens!r}"
        )
    if not len(data):
        raise HeadAtlasError("capture needs at least one question, got an empty dataset")
    if vlm.by_row:
        raise HeadAtlasError("edits must be the same for all rows in a capture, got edits that differ from row to row")
    if arm is not None and arm_name == "original":
        raise HeadAtlasError('an arm needs an arm_name of its own, such as "boxes", got "original"')
    dims = vlm.heads.dims(tower)
    folder = Folder.of(mkdtemp(prefix="headatlas-") if out is None else out)
    counts = steps_of(data)
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    shape = [starts[-1], *dims]
    settings = _settings(vlm, data, chosen, shape, arm_name, arm) | ({} if tower == "L" else {"tower": tower})
    new = out is None or (folder.local is not None and not folder.local.exists())
    job = _Capture(vlm, folder, settings, starts, batch_size, arm)
    with folder.locked("capture"):
        try:
            job.run(data, len(counts), progress, workers)
        except BaseException:
            job.abandon(new)
            raise
        activations = Activations.open(folder.where)
    if out is None:
        weakref.finalize(activations, shutil.rmtree, folder.where, ignore_errors=True)
    return activations


Units = Iterator[tuple[int, list[Question]]]


@dataclass(eq=False)
class _Capture:
    """A capture in progress: `starts` are the first rows of questions, and the number of rows at the end."""

    vlm: VLM
    folder: Folder
    settings: dict[str, Any]
    starts: list[int]
    batch_size: int
    arm: Arm | None
    kept: bool = False
    """Whether the folder holds a finished unit, or another capture."""

    @property
    def tower(self) -> Tower:
        """Whose z is captured."""
        return self.settings.get("tower", "L")

    def run(self, data: Questions, n: int, progress: Progress | None, workers: Workers | None) -> None:
        """Run the units that are not done, and write `steps.parquet`."""
        units = range(-(-n // UNIT))
        parts = self._open(units)
        self.done = [unit in parts for unit in units]
        first = next((unit for unit, there in enumerate(self.done) if not there), len(units))
        finished = min(first * UNIT, n)
        if progress is not None and first:
            progress("capture", finished, n)
        if first < len(units):
            self.folder.remove("steps.parquet")
        coming = enumerate(windows(data, UNIT, skip=first), start=first)
        for more in self._here(coming) if workers is None else self._on(workers, coming):
            finished += more
            if progress is not None:
                progress("capture", finished, n)
        if not self._finished():
            self._finish(units)

    def _open(self, units: range) -> dict[int, dict[str, str]]:
        """Make or open the arrays; the digests of z of each unit that is done, by unit."""
        parts = {unit: found for unit in units if (found := self._part(unit)) is not None}
        self.kept = True
        there = next((info["settings"] for info in parts.values()), None)
        if there is None:
            with suppress(FileNotFoundError, DamagedError):
                there = read_frame(self.folder, "steps.parquet")[1]["settings"]
        if there is None and not self._is_ours():
            raise HeadAtlasError(
                f"{str(self.folder)!r} holds a capture of another version of HeadAtlas, or one whose files are all damaged: "
                "delete it, or choose another folder"
            )
        differs = difference(_compared(there or self.settings), _compared(self.settings))
        if differs:
            raise HeadAtlasError(
                f"{str(self.folder)!r} holds a capture that differs in {differs}: choose another folder"
            )
        tokens, shape = self.settings["tokens"], self.settings["shape"]
        self.kept = there is not None
        try:
            self.arrays = open_arrays(self.folder, shape, tokens, "r+")
        except DamagedError:
            if there is None:
                write_frame(self.folder, BEGUN, pd.DataFrame({"unit": []}), {"settings": self.settings})
            create_arrays(self.folder, shape, tokens)
            self.arrays = open_arrays(self.folder, shape, tokens, "r+")
            return {}
        remove_folders(self.folder, tokens)
        return {unit: info["digests"] for unit, info in parts.items() if self._digests(unit) == info["digests"]}

    def _is_ours(self) -> bool:
        """Whether the folder holds no capture, or one that was begun and has no unit yet."""
        with suppress(FileNotFoundError, DamagedError):
            read_frame(self.folder, BEGUN)
            return True
        return not (has_arrays(self.folder) or self.folder.has(f"{NAME}/.zgroup") or self.folder.has("steps.parquet"))

    def abandon(self, new: bool) -> None:
        """Remove what was made, after a capture that failed before its first unit was done; `new`: the folder too."""
        if self.kept:
            return
        self.folder.remove_folder(NAME)
        self.folder.remove(BEGUN)
        if new and self.folder.local is not None:
            self.folder.remove(LOCK)
            with suppress(OSError):
                (self.folder.local / "parts").rmdir()
            with suppress(OSError):
                self.folder.local.rmdir()

    def _part(self, unit: int) -> dict[str, Any] | None:
        """The metadata stored with the answers of a unit; None if they are missing or damaged."""
        try:
            return read_frame(self.folder, _part(unit))[1]
        except (FileNotFoundError, DamagedError):
            return None

    def _rows(self, unit: int) -> slice:
        return slice(self.starts[unit * UNIT], self.starts[min((unit + 1) * UNIT, len(self.starts) - 1)])

    def _digests(self, unit: int) -> dict[str, str]:
        """Digests of a unit's z in the folder; empty if it cannot be read."""
        try:
            return {name: z_digest(self.arrays[name][self._rows(unit)]) for name in self.settings["tokens"]}
        except Exception:  # zarr raises errors of every kind for a file that was cut off
            return {}

    def _here(self, coming: Units) -> Iterator[int]:
        """Run units in this process; gives the number of questions of each one once it is on disk."""
        tokens = tuple(self.settings["tokens"])
        with ThreadPoolExecutor(1, "headatlas-capture") as writer:
            waiting: tuple[Any, int] | None = None
            for unit, questions in coming:
                result = None
                if not self.done[unit]:
                    result = run_unit(self.vlm, *self._asked(questions), tokens, self.batch_size, self.tower)
                if waiting is not None:
                    yield _written(*waiting)
                waiting = (None if result is None else writer.submit(self._keep, unit, *result)), len(questions)
            if waiting is not None:
                yield _written(*waiting)

    def _on(self, workers: Workers, coming: Units) -> Iterator[int]:
        """Run units on workers; gives the number of questions of each one once it is in the folder."""
        sizes: dict[int, int] = {}
        tokens, shape = tuple(self.settings["tokens"]), self.settings["shape"]
        rows = self.arrays[tokens[0]].chunks[0]

        def shards() -> Iterator[Shard]:
            for unit, questions in coming:
                sizes[unit] = len(questions)
                if not self.done[unit]:
                    options = (
                        tokens,
                        self.batch_size,
                        self.folder.full,
                        shape,
                        rows,
                        self._rows(unit).start,
                        self.tower,
                    )
                    yield Shard(unit, (*self._asked(questions), *options))

        for unit, result in workers.run(self.vlm, capture_unit, shards()):
            for name, row, z in result.ends:
                self._put(name, row, z)
            self._note(unit, result.answers, result.digests)
            yield sizes[unit]
        yield from (size for unit, size in sizes.items() if self.done[unit])

    def _asked(self, questions: list[Question]) -> tuple[list[Question], list[Conversation]]:
        """A unit's questions, without their images, and the conversations in which they are asked."""
        chats = conversations(questions, self.arm)
        return [question.model_copy(update={"images": ()}) for question in questions], chats

    def _keep(self, unit: int, z: np.ndarray, answers: pd.DataFrame) -> None:
        for i, name in enumerate(self.settings["tokens"]):
            self._put(name, self._rows(unit).start, z[:, i])
        self._note(unit, answers, {name: z_digest(z[:, i]) for i, name in enumerate(self.settings["tokens"])})

    def _note(self, unit: int, answers: pd.DataFrame, digests: dict[str, str]) -> None:
        self.kept = True
        write_frame(self.folder, _part(unit), answers, {"settings": self.settings, "digests": digests})

    def _put(self, name: str, row: int, z: np.ndarray) -> None:
        try:
            self.arrays[name][row : row + len(z)] = z
        except OSError as error:
            raise write_error(f"{self.folder}/{NAME}", error) from error

    def _finished(self) -> bool:
        with suppress(FileNotFoundError, DamagedError):
            return not difference(
                _compared(read_frame(self.folder, "steps.parquet")[1]["settings"]), _compared(self.settings)
            )
        return False

    def _finish(self, units: range) -> None:
        """Join the answers of all units to `steps.parquet`."""
        parts = [read_frame(self.folder, _part(unit)) for unit in units]
        digests = {name: [info["digests"][name] for _, info in parts] for name in self.settings["tokens"]}
        info = {"settings": self.settings, "starts": [self._rows(unit).start for unit in units], "digests": digests}
        write_frame(self.folder, "steps.parquet", pd.concat([frame for frame, _ in parts], ignore_index=True), info)
        self.folder.remove(BEGUN)


def _written(job: Any, n: int) -> int:
    """Wait until a unit is on disk."""
    if job is not None:
        job.result()
    return n


def _settings(
    vlm: VLM, data: Questions, tokens: tuple[str, ...], shape: list[int], arm_name: str, arm: Arm | None
) -> dict[str, Any]:
    return {
        "model": vlm.name,
        "model_identity": dict(getattr(vlm, "identity", {})),
        "model_fingerprint": vlm.fingerprint,
        "data_fingerprint": fingerprint_of(data),
        "tokens": list(tokens),
        "shape": [int(size) for size in shape],
        "axes": ["step", "layer", "head", "d_head"],
        "arm": arm_name,
        "arm_fingerprint": str(getattr(arm, "fingerprint", "")),
        "edits": list(vlm.edits_key),
        "headatlas": _version(),
        "format": FORMAT,
        "unit": UNIT,
    }


def _compared(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that must be equal for a capture to be continued."""
    return {name: value for name, value in settings.items() if name not in ("model", "headatlas")}


def _version() -> str:
    try:
        return version("headatlas")
    except PackageNotFoundError:  # run from a source tree
        return "not installed"


def _part(unit: int) -> str:
    return f"parts/{unit:06d}.parquet"
