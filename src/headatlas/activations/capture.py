"""Capture: one teacher-forced pass a question, the mean z of every step and what the model would answer, resumable.

Knows how a pass is split into units and how a killed run goes on; knows no science. The order of questions is that of
the data; within a unit of `UNIT` questions they are sorted by length. A unit's z is written first, then its answers, whole: a
unit is done when its part is there, whatever killed the run. Units are written by a thread of its own while the model runs the
next one, at most one waiting; or they run on several workers (`spread.py`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from headatlas.activations.arrays import array_of, create_arrays, has_arrays, open_arrays
from headatlas.activations.spread import capture_unit
from headatlas.activations.store import Activations, read_frame
from headatlas.activations.tokens import check_tokens
from headatlas.activations.unit import run_unit
from headatlas.cluster import Shard, Workers
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.storage import Folder
from headatlas.vlm.chat import Arm, Conversation, conversations
from headatlas.vlm.data import Questions, fingerprint_of, steps_of, windows
from headatlas.vlm.model import VLM

UNIT = 64
"""Questions that are done or not done as a whole. Part of the file format: a resumed run must cut the data alike."""


def capture(
    vlm: VLM,
    data: Questions,
    tokens: str | tuple[str, ...] = "gold",
    *,
    out: str | Path,
    batch_size: int = 16,
    arm: Arm | None = None,
    arm_name: str = "original",
    progress: Callable[[int], None] | None = None,
    workers: Workers | None = None,
) -> Activations:
    """Run the model once over every question, in gold context, and keep z, averaged over the selected tokens of every
    step.

    Args:
        vlm: the model; its active edits apply, and z is that after them.
        data: a `CogVSR` or any other dataset of questions.
        tokens: one selection or several of gold | predict | last | first | all.
        out: a new folder, or that of the same capture begun before: then it goes on where it was. A path, or an address
            that fsspec knows, such as `s3://bucket/run`.
        batch_size: questions per forward.
        arm: what is shown instead of the images, and said before the question (SHA); `arm_name` names it in the
            settings.
        progress: called with the number of questions just done, those done before included.
        workers: processes on several devices or machines (`headatlas.cluster`) that run units instead of this one; they
            all must see `out`. The result is the same.

    Returns:
        The activations, opened from `out`. Memory does not grow with the dataset.

    Raises:
        HeadAtlasError: unknown tokens, an empty dataset, per-row edits, or `out` holds a capture of another model,
            dataset or setting.
    """
    chosen = check_tokens(tokens)
    if not len(data):
        raise HeadAtlasError("expected at least one question to capture, came an empty dataset")
    if vlm.by_row:
        raise HeadAtlasError("edits that differ from row to row cannot be captured: expected edits for all rows")
    if arm is not None and arm_name == "original":
        raise HeadAtlasError('expected an arm_name for the arm, such as "boxes", came "original"')
    folder = Folder.of(out)
    counts = steps_of(data)
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    shape = [starts[-1], *vlm.heads.dims("L")]
    group = _open(folder, _settings(vlm, data, chosen, shape, arm_name))
    n_units = -(-len(counts) // UNIT)
    done = [folder.has(_part(unit)) for unit in range(n_units)]
    first = next((unit for unit, there in enumerate(done) if not there), n_units)
    if progress is not None and first:
        progress(min(first * UNIT, len(counts)))
    job = _Job(vlm, folder, group, chosen, starts, batch_size, arm, done)
    coming = enumerate(windows(data, UNIT, skip=first), start=first)
    made = job.here(coming) if workers is None else job.spread(workers, coming)
    for n in made:
        if progress is not None:
            progress(n)
    if not folder.has("steps.parquet"):
        parts = [read_frame(folder, _part(unit)) for unit in range(n_units)]
        _write(pd.concat(parts, ignore_index=True), folder, "steps.parquet")
    return Activations.open(out)


Units = Iterator[tuple[int, list[Question]]]


@dataclass(frozen=True)
class _Job:
    """A capture under way: `starts` are the first rows of questions, `done` says of each unit whether it is in the folder."""

    vlm: VLM
    folder: Folder
    group: zarr.Group
    tokens: tuple[str, ...]
    starts: list[int]
    batch_size: int
    arm: Arm | None
    done: list[bool]

    def here(self, coming: Units) -> Iterator[int]:
        """Run units in this process; gives the number of questions of each one once it is on disk."""
        with ThreadPoolExecutor(1, "headatlas-capture") as writer:
            waiting: tuple[Any, int] | None = None
            for unit, questions in coming:
                made = None
                if not self.done[unit]:
                    made = run_unit(self.vlm, *self._asked(questions), self.tokens, self.batch_size)
                if waiting is not None:
                    yield _written(*waiting)
                waiting = (None if made is None else writer.submit(self._keep, unit, *made)), len(questions)
            if waiting is not None:
                yield _written(*waiting)

    def spread(self, workers: Workers, coming: Units) -> Iterator[int]:
        """Run units on workers; gives the number of questions of each one once it is in the folder."""
        sizes: dict[int, int] = {}

        def shards() -> Iterator[Shard]:
            for unit, questions in coming:
                sizes[unit] = len(questions)
                if not self.done[unit]:
                    options = (self.tokens, self.batch_size, self.folder.full, self.starts[unit * UNIT])
                    yield Shard(unit, (*self._asked(questions), *options))

        for unit, (ends, answers) in workers.run(self.vlm, capture_unit, shards()):
            for name, row, z in ends:
                self._put(name, row, z)
            _write(answers, self.folder, _part(unit))
            yield sizes[unit]
        yield from (size for unit, size in sizes.items() if self.done[unit])

    def _asked(self, questions: list[Question]) -> tuple[list[Question], list[Conversation]]:
        """A unit's questions, without their images, and the conversations in which they are asked."""
        chats = conversations(questions, self.arm)
        return [question.model_copy(update={"images": ()}) for question in questions], chats

    def _keep(self, unit: int, z: np.ndarray, answers: pd.DataFrame) -> None:
        for i, name in enumerate(self.tokens):
            self._put(name, self.starts[unit * UNIT], z[:, i])
        _write(answers, self.folder, _part(unit))

    def _put(self, name: str, row: int, z: np.ndarray) -> None:
        array_of(self.group, name)[row : row + len(z)] = z


def _written(job: Any, n: int) -> int:
    """Wait until a unit is on disk."""
    if job is not None:
        job.result()
    return n


def _settings(vlm: VLM, data: Questions, tokens: tuple[str, ...], shape: list[int], arm_name: str) -> dict[str, Any]:
    return {
        "model": vlm.name,
        "model_fingerprint": vlm.fingerprint,
        "data_fingerprint": fingerprint_of(data),
        "tokens": list(tokens),
        "shape": [int(size) for size in shape],
        "axes": ["step", "layer", "head", "d_head"],
        "arm": arm_name,
        "edits": list(vlm.edits_key),
        "headatlas": _version(),
        "unit": UNIT,
    }


def _open(folder: Folder, settings: dict[str, Any]) -> zarr.Group:
    """The group of a capture with these settings: a new one, or the one that is there if it is the same."""
    there = _settings_there(folder)
    if there:
        for name, wanted in settings.items():
            if name not in ("model", "headatlas") and there.get(name) != wanted:
                raise HeadAtlasError(
                    f"{str(folder)!r} holds a capture with {name} {there.get(name)!r}, this one has {wanted!r}: "
                    f"choose another folder"
                )
        return open_arrays(folder, "r+")
    try:
        if folder.local is not None:
            (folder.local / "parts").mkdir(parents=True, exist_ok=True)
        create_arrays(folder, settings["shape"], settings["tokens"], settings)
    except OSError as error:
        raise HeadAtlasError(f"cannot write a capture to {str(folder)!r}: {error}") from error
    return open_arrays(folder, "r+")


def _settings_there(folder: Folder) -> dict[str, Any]:
    """Settings of the capture in a folder; empty if there is none, or one whose making was cut off."""
    return dict(open_arrays(folder, "r").attrs) if has_arrays(folder) else {}


def _version() -> str:
    try:
        return version("headatlas")
    except PackageNotFoundError:  # run from a source tree
        return "not installed"


def _part(unit: int) -> str:
    return f"parts/{unit:06d}.parquet"


def _write(frame: pd.DataFrame, folder: Folder, name: str) -> None:
    data = io.BytesIO()
    frame.to_parquet(data, index=False)
    try:
        folder.write(name, data.getvalue())
    except OSError as error:
        raise HeadAtlasError(f"cannot write {name} to {str(folder)!r}: {error}") from error
