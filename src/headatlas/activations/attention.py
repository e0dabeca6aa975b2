"""Summaries of the attention of every head at every step of a dataset, captured like z, and resumable.

One teacher-forced pass for each question, with the model's own kernels. At the positions that predict a step's answer each head's
row is read and summarised at once, so memory does not grow with the dataset or the length of the text. Questions are written in
units, by this process or by workers; a run that was killed continues where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from headatlas.activations.capture import UNIT
from headatlas.activations.row_summary import N_FOREIGN, N_RANDOM, SUMMARIES, Corners, RowSummary
from headatlas.cluster import Shard, Workers
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, read_frame, write_frame
from headatlas.heads import AttentionReader, HeadSet
from headatlas.heads.address import Heads
from headatlas.progress import Progress
from headatlas.storage import DamagedError
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import conversation
from headatlas.vlm.data import Questions, fingerprint_of, windows
from headatlas.vlm.evaluate import rows_of, table
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.read import in_batches, readouts_of

QueryPositions = Literal["last", "predict"]
"""`last`: the position that predicts the first token of a step's answer; `predict`: all that predict one (summaries are of their
mean row)."""

FORMAT = 3
"""Increased when the files or the meaning of a summary change."""

STEPS = "steps.parquet"
"""The answers of all steps, with the settings and the digest of each other file; sealed, and written last."""


class AttentionSummaries:
    """Summaries of N steps x L layers x H heads. Made by `attention` or `AttentionSummaries.open`.

    Attributes:
        steps: the answers table of the same pass, one row per step.
        info: the settings.
    """

    def __init__(
        self, path: str | Path, info: dict[str, Any], steps: pd.DataFrame, digests: Mapping[str, str] | None = None
    ) -> None:
        self.path, self.info, self.steps = path, info, steps
        self._digests = dict(digests or {})  # of each .npz file
        self._kept: dict[str, np.ndarray] = {}

    @classmethod
    def open(cls, path: str | Path) -> AttentionSummaries:
        """Open finished summaries. Raises `HeadAtlasError` if there are none at `path`."""
        folder = Folder.of(path)
        try:
            steps, info = read_frame(folder, STEPS)
        except FileNotFoundError as error:
            raise HeadAtlasError(
                f"no finished attention summaries in {str(folder)!r}; run ha.attention(...) there"
            ) from error
        return cls(path, info["settings"], steps, info["digests"])

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        layers, heads = self.info["shape"]
        size = f"{len(self)} steps x {layers} layers x {heads} heads"
        rows = ", with rows" if self.info["rows"] else ""
        return f"AttentionSummaries({str(self.path)!r}, {size}, queries {self.info['queries']}{rows})"

    @property
    def heads(self) -> HeadSet:
        """The heads that were read."""
        return HeadSet.parse(self.info["heads"])

    def __getitem__(self, name: str) -> Float32[np.ndarray, "N L H"]:
        """One summary, see `SUMMARIES`; NaN at heads that were not read."""
        if name not in SUMMARIES:
            raise HeadAtlasError(f"summary must be one of {', '.join(SUMMARIES)}, got {name!r}")
        if name not in self._kept:
            folder = Folder.of(self.path)
            self._kept[name] = np.concatenate(
                [self._load(folder, _part(unit), name) for unit in range(self.info["units"])]
            )
        return self._kept[name]

    def rows(self, step: int) -> Float32[np.ndarray, "n Q K"]:
        """The attention rows of one step: of `heads` in their order, at its query positions, over the conversation's K tokens.

        Raises `HeadAtlasError` if rows were not kept.
        """
        if not self.info["rows"]:
            raise HeadAtlasError("rows were not kept; run ha.attention(..., rows=True) into another folder")
        if not 0 <= step < len(self):
            raise HeadAtlasError(f"step must be 0 to {len(self) - 1}, got {step}")
        folder = Folder.of(self.path)
        before = 0
        for unit in range(self.info["units"]):
            shapes = self._load(folder, _rows(unit), "shapes")
            if step < before + len(shapes):
                sizes = shapes.prod(1)
                start = int(sizes[: step - before].sum())
                flat = self._load(folder, _rows(unit), "weights")
                return flat[start : start + int(sizes[step - before])].reshape(shapes[step - before])
            before += len(shapes)
        raise AssertionError(step)

    def _load(self, folder: Folder, name: str, array: str) -> np.ndarray:
        try:
            data = folder.read(name)
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != self._digests.get(name):
            raise DamagedError(f"{folder}/{name} is missing or damaged; run the same ha.attention(...) there again")
        with np.load(io.BytesIO(data), allow_pickle=False) as part:
            return part[array]

    def table(self, function: str | None = None) -> pd.DataFrame:
        """Means over all steps with boxes, or those of one function: one row for each head, ordered by attention on the
        target."""
        rows = (~np.isnan(self["target"])).any((1, 2))
        if function is not None:
            rows &= self.steps["functions"].str.split("|").map(lambda names: function in names).to_numpy()
        if not rows.any():
            raise HeadAtlasError(f"no step {f'of function {function!r} ' if function else ''}has boxes")
        layers, heads = self.info["shape"]
        frame = pd.DataFrame({"head": [f"L{layer}.H{head}" for layer in range(layers) for head in range(heads)]})
        for name in SUMMARIES:
            frame[name] = mean_of_known(self[name][rows]).ravel()
        frame.insert(1, "gaze", frame["target"] - frame["random"])
        read = frame["head"].isin([str(head) for head in self.heads])
        return frame[read].sort_values("target", ascending=False, ignore_index=True)


def attention(
    vlm: VLM,
    data: Questions,
    queries: str = "last",
    *,
    out: str | Path,
    heads: Heads | None = None,
    rows: bool = False,
    batch_size: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> AttentionSummaries:
    """Summarise the attention of the language model's heads at every step, in gold context.

    Args:
        vlm: the model; its active edits apply.
        data: a dataset of questions; the `boxes` of a step are the places of the things that it asks about.
        queries: query positions, see `QueryPositions`.
        out: a new folder, or that of the same summaries begun before, which are then continued.
        heads: of the language model; by default all.
        rows: also store the rows themselves (float32; their size grows with heads, query positions and tokens).
        batch_size: questions per forward.
        seed: of the random boxes.
        progress: called as `progress("attention", done, total)` in questions.
        workers: processes on several devices or machines (`headatlas.cluster`) that run units instead of this one.

    Raises:
        HeadAtlasError: other `queries`; heads of another tower; no place of image tokens is known for the family; per-row
            edits; `out` holds something else, or another process writes into it.
    """
    if queries not in get_args(QueryPositions):
        raise HeadAtlasError(f"queries must be one of {', '.join(get_args(QueryPositions))}, got {queries!r}")
    if not len(data):
        raise HeadAtlasError("data must have at least one question, got none")
    if vlm.by_row:
        raise HeadAtlasError(
            "edits must be the same for all rows in ha.attention, got edits that differ from row to row"
        )
    chosen = vlm.heads.heads("L") if heads is None else HeadSet(heads)
    if chosen.towers() != ("L",):
        raise HeadAtlasError(
            f"heads must be of the language model (L), got {chosen}; use vlm.attention for other towers"
        )
    vlm.heads.check(chosen)
    chosen = chosen.sorted()
    folder = Folder.of(out)
    options = (queries, " ".join(map(str, chosen)), rows, batch_size)
    units = -(-len(data) // UNIT)
    settings = {
        "model_fingerprint": vlm.fingerprint, "data_fingerprint": fingerprint_of(data), "queries": queries, "seed": seed,
        "shape": list(vlm.heads.shape), "edits": list(vlm.edits_key), "units": units, "unit": UNIT, "format": FORMAT,
        "heads": options[1], "rows": rows,
    }  # fmt: skip
    with folder.locked("attention"):
        _check_settings(folder, settings)
        found = {unit: _intact(folder, unit, settings) for unit in range(units)}
        there = {unit: known for unit, known in found.items() if known is not None}
        digests: dict[str, str] = {}
        done = 0
        for unit, size, made in _units(vlm, data, there, seed, options, workers):
            digests |= there[unit] if made is None else _write(folder, unit, made, settings)
            done += size
            if progress is not None:
                progress("attention", done, len(data))
        frames = [read_frame(folder, _steps(unit))[0] for unit in range(units)]
        whole = {"settings": settings, "digests": dict(sorted(digests.items()))}
        write_frame(folder, STEPS, pd.concat(frames, ignore_index=True), whole)
    return AttentionSummaries.open(out)


UnitRows = tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None, pd.DataFrame]
"""The summaries of a unit, its rows if they are kept, and its answers table."""


def _units(
    vlm: VLM, data: Questions, there: Collection[int], seed: int, options: tuple[Any, ...], workers: Workers | None
) -> Iterator[tuple[int, int, UnitRows | None]]:
    """Number, size and result of every unit; no result for those that are `there`."""
    if workers is None:
        for unit, questions in enumerate(windows(data, UNIT)):
            made = None if unit in there else attention_unit(vlm, questions, [seed, unit], *options)
            yield unit, len(questions), made
        return
    sizes: dict[int, int] = {}

    def shards() -> Iterator[Shard]:
        for unit, questions in enumerate(windows(data, UNIT)):
            sizes[unit] = len(questions)
            if unit not in there:
                yield Shard(unit, (questions, [seed, unit], *options))

    for unit, made in workers.run(vlm, attention_unit, shards()):
        yield unit, sizes[unit], made
    yield from ((unit, sizes[unit], None) for unit in there)


def _write(folder: Folder, unit: int, made: UnitRows, settings: dict[str, Any]) -> dict[str, str]:
    """Write a unit, its steps last; returns the digest of each .npz file by name."""
    arrays, rows, steps = made
    files = {_part(unit): _npz(arrays)} | ({} if rows is None else {_rows(unit): _npz(rows)})
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for name, data in files.items():
        folder.write(name, data)
    write_frame(folder, _steps(unit), steps, {"settings": settings, "digests": digests})
    return digests


def _intact(folder: Folder, unit: int, settings: dict[str, Any]) -> dict[str, str] | None:
    """The digests of a unit that was written with these settings and is as it was written; else None."""
    try:
        info = read_frame(folder, _steps(unit))[1]
        digests = dict(info["digests"])
        if info["settings"] == settings and all(
            hashlib.sha256(folder.read(name)).hexdigest() == digest for name, digest in digests.items()
        ):
            return digests
    except (OSError, DamagedError):
        pass
    return None


def _check_settings(folder: Folder, settings: dict[str, Any]) -> None:
    """Raise if the folder holds summaries with other settings; write these settings."""
    try:
        there = json.loads(folder.read("settings.json"))
    except (OSError, ValueError):  # missing or damaged: the units carry the settings too
        there = None
    if isinstance(there, dict):
        for name, wanted in settings.items():
            if there.get(name) != wanted:
                raise HeadAtlasError(
                    f"{str(folder)!r} holds attention summaries with {name} {there.get(name)!r}, this run has {wanted!r}; "
                    "choose another folder"
                )
    folder.write("settings.json", json.dumps(settings).encode())


def attention_unit(
    vlm: VLM, questions: Sequence[Question], seed: Sequence[int], queries: str, heads: str, rows: bool, batch_size: int
) -> UnitRows:
    """One unit of `attention`."""
    rng, chosen = np.random.default_rng(list(seed)), HeadSet.parse(heads)
    chats = [conversation(question) for question in questions]
    starts = np.concatenate([[0], np.cumsum([len(question.steps) for question in questions])])
    boxes = [[_corners(step.boxes) for step in question.steps] for question in questions]
    drawn = [[_drawn(boxes, q, k, rng) for k in range(len(boxes[q]))] for q in range(len(questions))]
    layers, width = vlm.heads.shape
    arrays = {name: np.full((int(starts[-1]), layers, width), np.nan, np.float32) for name in SUMMARIES}
    stored: dict[int, np.ndarray] = {}
    records: list[list[dict[str, Any]]] = [[] for _ in questions]

    def work(numbers: list[int], batch: Batch) -> None:
        steps = [(b, k) for b, number in enumerate(numbers) for k in range(len(questions[number].steps))]
        places = [int(starts[numbers[b]] + k) for b, k in steps]
        summary = RowSummary(vlm, batch, steps, [drawn[numbers[b]][k] for b, k in steps], queries, rows)
        reader = AttentionReader(vlm.model, vlm.heads, chosen, summary.queries.to(vlm.device), summary)
        with summary.watching():
            logits = logits_at(vlm, batch, batch.predict_mask(), numbers, reader)
        for name, values in summary.values.items():
            arrays[name][places] = values
        stored.update(zip(places, summary.rows(), strict=rows))
        for number, readouts in zip(numbers, readouts_of(vlm, batch, logits), strict=True):
            records[number] = rows_of(
                questions[number],
                [r.text for r in readouts],
                [r.logprob for r in readouts],
                [r.ended for r in readouts],
            )

    in_batches(vlm, chats, batch_size, work)
    raw = None
    if rows:
        ordered = [stored[place] for place in range(int(starts[-1]))]
        raw = {
            "shapes": np.array([each.shape for each in ordered], np.int64).reshape(-1, 3),
            "weights": np.concatenate([each.ravel() for each in ordered]) if ordered else np.zeros(0, np.float32),
        }
    return arrays, raw, table([record for each in records for record in each])


def _corners(boxes: Sequence[Any]) -> Corners:
    return [(box.x0, box.y0, box.x1, box.y1) for box in boxes]


def _drawn(boxes: list[list[Corners]], question: int, step: int, rng: np.random.Generator) -> list[Corners]:
    """The step's own boxes, then the random ones, then those of other questions; empty without boxes."""
    own = boxes[question][step]
    if not own:
        return []
    sets = [own]
    for _ in range(N_RANDOM):
        corner = rng.random((len(own), 2))
        sets.append(
            [
                (x * (1 - w), y * (1 - h), x * (1 - w) + w, y * (1 - h) + h)
                for (x, y), (w, h) in zip(corner, [(x1 - x0, y1 - y0) for x0, y0, x1, y1 in own], strict=True)
            ]
        )
    others = [each for q, steps in enumerate(boxes) if q != question for each in steps if each and each != own]
    for i in rng.permutation(len(others))[:N_FOREIGN] if others else []:
        sets.append(others[i])
    return sets


def mean_of_known(values: Float[np.ndarray, "N L H"]) -> Float[np.ndarray, "L H"]:
    """The mean over the first axis without NaN; NaN where all are NaN."""
    counts = (~np.isnan(values)).sum(0)
    return np.divide(np.nansum(values, axis=0), counts, out=np.full(values.shape[1:], np.nan), where=counts > 0)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]
    return data.getvalue()


def _part(unit: int) -> str:
    return f"parts/{unit:06d}.npz"


def _rows(unit: int) -> str:
    return f"rows/{unit:06d}.npz"


def _steps(unit: int) -> str:
    return f"parts/{unit:06d}.parquet"
