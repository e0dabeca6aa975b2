"""What every head looks at at every step of a dataset: summaries of attention rows, captured like z, resumable.

One teacher-forced pass a question with the model's own kernels. At the positions that predict a step's answer each head's row is
read and summed up at once, so memory does not grow with the dataset or the length of the text. Units of questions are written
whole; a run that was killed goes on where it was.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32
from scipy import ndimage
from torch import Tensor

from headatlas.activations.capture import UNIT
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.families.image_grid import ImageTokens
from headatlas.heads import AttentionReader, AttentionRows
from headatlas.progress import Progress
from headatlas.storage import Folder
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import conversation
from headatlas.vlm.data import Questions, fingerprint_of, windows
from headatlas.vlm.evaluate import rows_of, table
from headatlas.vlm.forward import logits_at
from headatlas.vlm.image_tokens import tokens_of
from headatlas.vlm.model import VLM
from headatlas.vlm.read import in_batches, readouts_of

At = Literal["last", "predict"]
"""`last`: the position that predicts the first token of a step's answer; `predict`: the mean over all that predict one."""

SUMMARIES = (
    *("image", "target", "random", "foreign", "question", "first", "sink", "entropy", "top_in_target", "localisation"),
)
"""What is kept of a row.

* `image`: the mass on the image tokens.
* `target`, `random`, `foreign`: the mass on the patches (`ImageTokens.touching`) of the step's own boxes; of as many boxes of the
  same sizes at random places, the mean of `N_RANDOM` draws; of the boxes of up to `N_FOREIGN` other questions' steps.
* `question`, `first`: the mass on the words of the step's own turn, and on the first token.
* `sink`: the share of a learned sink, 0 in most families.
* `entropy`: of the row, nats.
* `top_in_target`: 1 if the most attended key is one of the target's patches, else 0.
* `localisation`: spatial entropy of the map on the picture, nats: low where it is one spot (arXiv 2503.06287).

NaN where a step has no boxes, or a row no mass on the image."""

N_RANDOM, N_FOREIGN = 16, 4


class AttentionSummaries:
    """Summaries of N steps x L layers x H heads. Made by `attention` or `AttentionSummaries.open`.

    Attributes:
        steps: the answers table of the same pass, one row a step.
        info: the settings.
    """

    def __init__(self, path: str | Path, info: dict[str, Any], steps: pd.DataFrame) -> None:
        self.path, self.info, self.steps = path, info, steps
        self._kept: dict[str, np.ndarray] = {}

    @classmethod
    def open(cls, path: str | Path) -> AttentionSummaries:
        """Open finished summaries. Raises `HeadAtlasError` if there are none at `path`."""
        folder = Folder.of(path)
        if not folder.has("steps.parquet"):
            raise HeadAtlasError(f"no finished attention summaries in {str(folder)!r}; run ha.attention(...) there")
        steps = pd.read_parquet(io.BytesIO(folder.read("steps.parquet")))
        return cls(path, json.loads(folder.read("settings.json")), steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        layers, heads = self.info["shape"]
        size = f"{len(self)} steps x {layers} layers x {heads} heads"
        return f"AttentionSummaries({str(self.path)!r}, {size}, at {self.info['at']})"

    def __getitem__(self, name: str) -> Float32[np.ndarray, "N L H"]:
        """One summary, see `SUMMARIES`."""
        if name not in SUMMARIES:
            raise HeadAtlasError(f"summary must be one of {', '.join(SUMMARIES)}, got {name!r}")
        if name not in self._kept:
            folder = Folder.of(self.path)
            parts = []
            for unit in range(self.info["units"]):
                with np.load(io.BytesIO(folder.read(_part(unit))), allow_pickle=False) as part:
                    parts.append(part[name])
            self._kept[name] = np.concatenate(parts)
        return self._kept[name]

    def table(self, function: str | None = None) -> pd.DataFrame:
        """Means over the steps with boxes, or those of one function: one row a head, the most attention on the target first."""
        rows = ~np.isnan(self["target"][:, 0, 0])
        if function is not None:
            rows &= self.steps["functions"].str.split("|").map(lambda names: function in names).to_numpy()
        if not rows.any():
            raise HeadAtlasError(f"no step {f'of function {function!r} ' if function else ''}has boxes")
        layers, heads = self.info["shape"]
        frame = pd.DataFrame({"head": [f"L{layer}.H{head}" for layer in range(layers) for head in range(heads)]})
        for name in SUMMARIES:
            frame[name] = mean_of_known(self[name][rows]).ravel()
        frame.insert(1, "gaze", frame["target"] - frame["random"])
        return frame.sort_values("target", ascending=False, ignore_index=True)


def attention(
    vlm: VLM,
    data: Questions,
    at: str = "last",
    *,
    out: str | Path,
    batch_size: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> AttentionSummaries:
    """Summaries of what every head of the language model looks at at every step, in gold context.

    Args:
        vlm: the model; its active edits apply.
        data: a dataset of questions; steps with `boxes` tell where their evidence lies.
        at: query positions, see `At`.
        out: a new folder, or that of the same summaries begun before: then it goes on where it was.
        batch_size: questions per forward.
        seed: of the random boxes.
        progress: called as `progress("attention", done, total)` in questions.

    Raises:
        HeadAtlasError: another `at`; no place of image tokens is known for the family; `out` holds something else.
    """
    if at not in get_args(At):
        raise HeadAtlasError(f"at must be one of {', '.join(get_args(At))}, got {at!r}")
    if not len(data):
        raise HeadAtlasError("data must have at least one question, got none")
    folder = Folder.of(out)
    units = -(-len(data) // UNIT)
    settings = {
        "model_fingerprint": vlm.fingerprint, "data_fingerprint": fingerprint_of(data), "at": at, "seed": seed,
        "shape": list(vlm.heads.shape), "edits": list(vlm.edits_key), "units": units, "unit": UNIT,
    }  # fmt: skip
    _check_settings(folder, settings)
    done = 0
    for unit, questions in enumerate(windows(data, UNIT)):
        if not folder.has(_part(unit)):
            arrays, steps = _run_unit(vlm, questions, at, batch_size, np.random.default_rng([seed, unit]))
            folder.write(_steps(unit), _parquet(steps))
            kept = io.BytesIO()
            np.savez_compressed(kept, **arrays)  # type: ignore[arg-type]
            folder.write(_part(unit), kept.getvalue())
        done += len(questions)
        if progress is not None:
            progress("attention", done, len(data))
    if not folder.has("steps.parquet"):
        frames = [pd.read_parquet(io.BytesIO(folder.read(_steps(unit)))) for unit in range(units)]
        folder.write("steps.parquet", _parquet(pd.concat(frames, ignore_index=True)))
    return AttentionSummaries.open(out)


def _check_settings(folder: Folder, settings: dict[str, Any]) -> None:
    if folder.has("settings.json"):
        there = json.loads(folder.read("settings.json"))
        for name, wanted in settings.items():
            if there.get(name) != wanted:
                raise HeadAtlasError(
                    f"{str(folder)!r} holds attention summaries with {name} {there.get(name)!r}, this run has {wanted!r}; "
                    "choose another folder"
                )
    else:
        folder.write("settings.json", json.dumps(settings).encode())


def _run_unit(
    vlm: VLM, questions: list[Question], at: str, batch_size: int, rng: np.random.Generator
) -> tuple[dict[str, Float32[np.ndarray, "n L H"]], pd.DataFrame]:
    chats = [conversation(question) for question in questions]
    starts = np.concatenate([[0], np.cumsum([len(question.steps) for question in questions])])
    boxes = [[_corners(step.boxes) for step in question.steps] for question in questions]
    drawn = [[_drawn(boxes, q, k, rng) for k in range(len(boxes[q]))] for q in range(len(questions))]
    layers, heads = vlm.heads.shape
    arrays = {name: np.full((int(starts[-1]), layers, heads), np.nan, np.float32) for name in SUMMARIES}
    records: list[list[dict[str, Any]]] = [[] for _ in questions]

    def work(rows: list[int], batch: Batch) -> None:
        steps = [(b, k) for b, row in enumerate(rows) for k in range(len(questions[row].steps))]
        places = [int(starts[rows[b]] + k) for b, k in steps]
        summary = _Summary(vlm, batch, steps, [drawn[rows[b]][k] for b, k in steps], at)
        reader = AttentionReader(vlm.model, vlm.heads, queries=summary.queries.to(vlm.device), on_rows=summary)
        logits = logits_at(vlm, batch, batch.predict_mask(), rows, reader)
        for name, values in summary.values.items():
            arrays[name][places] = values
        for row, readouts in zip(rows, readouts_of(vlm, batch, logits), strict=True):
            records[row] = rows_of(questions[row], [r.text for r in readouts], [r.logprob for r in readouts])

    in_batches(vlm, chats, batch_size, work)
    return arrays, table([record for each in records for record in each])


Corners = list[tuple[float, float, float, float]]


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


class _Summary:
    """Sums up the rows of a batch layer by layer as they are read."""

    def __init__(
        self, vlm: VLM, batch: Batch, steps: list[tuple[int, int]], drawn: list[list[Corners]], at: str
    ) -> None:
        self.queries = batch.last_mask() if at == "last" else batch.predict_mask()
        layers, heads = vlm.heads.shape
        self.values = {name: np.full((len(steps), layers, heads), np.nan, np.float32) for name in SUMMARIES}
        self._steps = steps
        self._image = batch.image_mask
        self._tokens = [tokens_of(vlm, batch, row) for row in range(len(batch.starts))]
        self._places = []  # of each step: its queries among those of its row
        features = torch.zeros(len(steps), batch.ids.shape[1], 4 + N_RANDOM + N_FOREIGN)
        self._n_foreign = []
        for s, (row, turn) in enumerate(steps):
            start, end = batch.spans[row][turn]
            asked = self.queries[row].nonzero()[:, 0].tolist()
            self._places.append([i for i, p in enumerate(asked) if start - 1 <= p < end - 1])
            image = batch.image_mask[row]
            words = torch.zeros_like(image)
            words[batch.turn_start(row, turn) : start] = True
            features[s, :, 0] = image
            features[s, :, 1] = words & ~image
            features[s, batch.starts[row], 2] = 1
            for i, boxes in enumerate(drawn[s]):
                patches = np.any([self._tokens[row].touching(box) for box in boxes], axis=0)
                features[s, image, 3 + i] = torch.as_tensor(patches, dtype=torch.float32)
            self._n_foreign.append(max(0, len(drawn[s]) - 1 - N_RANDOM))
        self._features = features.to(vlm.device)
        self._boxed = torch.tensor([bool(each) for each in drawn])

    def __call__(self, rows: AttentionRows) -> None:
        """Take the rows of one layer, `[B, H, Q, K]`."""
        layer, weights = rows.site.layer, rows.weights
        mean = torch.stack(
            [weights[row][:, self._places[s]].mean(1) for s, (row, _) in enumerate(self._steps)]
        )  # [S, H, K]
        made = (mean @ self._features.to(mean)).cpu()  # [S, H, f]
        share = made[..., 3 + 1 : 3 + 1 + N_RANDOM].mean(-1)
        foreign = made[..., 4 + N_RANDOM :]
        n_foreign = torch.tensor(self._n_foreign, dtype=made.dtype)[:, None]
        blank = torch.where(self._boxed, 0.0, torch.nan)[:, None]
        top = mean.argmax(-1)
        own = self._features[:, :, 3].to(mean.device)
        put = {
            "image": made[..., 0],
            "question": made[..., 1],
            "first": made[..., 2],
            "target": made[..., 3] + blank,
            "random": share + blank,
            "foreign": foreign.sum(-1) / n_foreign,  # NaN where there is none
            "sink": (1 - mean.sum(-1)).cpu(),
            "entropy": -(mean * mean.clamp(min=1e-30).log()).sum(-1).cpu(),
            "top_in_target": torch.gather(own, 1, top).cpu() + blank,
            "localisation": self._localised(mean.cpu()),
        }
        for name, value in put.items():
            self.values[name][:, layer] = value.numpy()

    def _localised(self, mean: Tensor) -> Tensor:
        out = np.full(mean.shape[:2], np.nan, np.float32)
        for s, (row, _) in enumerate(self._steps):
            tokens = self._tokens[row]
            planes = _planes(tokens)
            on_image = mean[s][:, self._image[row]].numpy()
            for head, values in enumerate(on_image):
                out[s, head] = spatial_entropy(values, planes)
        return torch.as_tensor(out)


Plane = tuple[np.ndarray, np.ndarray]
"""Indices of the tokens of one tile, and their (row, column)."""


def _planes(tokens: ImageTokens) -> list[Plane]:
    planes = []
    for image in np.unique(tokens.image):
        for tile in np.unique(tokens.tile[tokens.image == image]):
            index = np.flatnonzero((tokens.image == image) & (tokens.tile == tile) & (tokens.column >= 0))
            planes.append((index, np.stack([tokens.row[index], tokens.column[index]])))
    return planes


def spatial_entropy(weights: Float[np.ndarray, " n"], planes: Sequence[Plane]) -> float:
    """Entropy (nats) of the mass over the connected spots of a map: 0 for one spot, log c for c equal ones.

    A cell belongs to a spot if its weight is above the map's mean; cells that touch, also at a corner, are one spot. NaN where
    the map is empty.
    """
    if not weights.sum() > 1e-6:
        return float("nan")
    masses = []
    mean = weights.mean()
    for index, (row, column) in planes:
        plane = np.zeros((row.max() + 1, column.max() + 1))
        plane[row, column] = weights[index]
        labels, n = ndimage.label(plane > mean, structure=np.ones((3, 3)))
        if n:
            masses += list(ndimage.sum_labels(plane, labels, np.arange(1, n + 1)))
    if not masses:
        return float(np.log(len(weights)))
    p = np.array(masses) / np.sum(masses)
    return float(-(p * np.log(p)).sum())


def mean_of_known(values: Float[np.ndarray, "N L H"]) -> Float[np.ndarray, "L H"]:
    """The mean over the first axis, leaving out NaN; NaN where nothing is known."""
    counts = (~np.isnan(values)).sum(0)
    return np.divide(np.nansum(values, axis=0), counts, out=np.full(values.shape[1:], np.nan), where=counts > 0)


def _part(unit: int) -> str:
    return f"parts/{unit:06d}.npz"


def _steps(unit: int) -> str:
    return f"parts/{unit:06d}.parquet"


def _parquet(frame: pd.DataFrame) -> bytes:
    data = io.BytesIO()
    frame.to_parquet(data, index=False)
    return data.getvalue()
