"""Make and store the training data: rendered scenes as memory-mapped pixels, conversations about them as flat arrays.

Everything is determined by a seed and comes from the scenes' split "train", which no study uses. A scene's mirror image is used
as a second scene. Pixels are shared by all families; conversations are tokens, so each family has its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from transformers import ProcessorMixin

from headatlas.cogvsr.marks import cover, detectable, outline
from headatlas.cogvsr.schema import Question, Step
from headatlas.reference.build import Shape
from headatlas.reference.families import family_named
from headatlas.reference.families.llava import clip_pictures
from headatlas.reference.patches import PATCH_FIELDS, patch_labels
from headatlas.reference.tokens import Row
from headatlas.scenes.build import SceneQuestion, ask_all, symbolic
from headatlas.scenes.question_types.hops import JUST_NAMED
from headatlas.scenes.render import render
from headatlas.scenes.world import Scene

KINDS = ("own", "more", "direct", "caption", "quiz")
"""Kinds of conversations: the question a scene was made for, other questions about it, one without steps, a caption, and
single steps of those questions that need the picture."""

QUIZ_STEPS = 8
"""Largest number of steps of one quiz."""

WORDING = 2
"""Increase it whenever the scenes' questions or their answers change, so that stored rows are made again."""

MARKS = ("boxes", "mask", "boxes+mask")
"""How the things that a scene's own question names are marked, in turn: outlined, covered, or both, as the arms of SHA do."""


@dataclass(frozen=True)
class PoolSettings:
    """`n_scenes` rendered scenes (twice as many with mirrors) of `seed`; `marked`: each also with marks on it.

    Scenes without mirrors are those held out, whose questions keep the templates' words in every family.
    """

    n_scenes: int
    seed: int
    mirrors: bool = True
    marked: bool = False

    def facts(self) -> dict[str, Any]:
        """Return what a stored pool was made of; without `marked` where there are no marks, as older pools have it."""
        return {name: value for name, value in asdict(self).items() if name != "marked" or value}


@dataclass(frozen=True)
class Pool:
    """Scenes `0..n-1`, then their mirrors `n..2n-1`; row i of kind k is `ids[k][bounds[k][i]:bounds[k][i+1]]`."""

    pixels: np.ndarray
    """UInt8 [n, 3, size, size]."""
    patches: UInt8[np.ndarray, "scenes patches fields"]
    """Index into the values of `PATCH_FIELDS`; 255: no label."""
    ids: dict[str, np.ndarray]
    marks: dict[str, np.ndarray]
    bounds: dict[str, np.ndarray]
    scene: dict[str, np.ndarray]
    marked: np.ndarray | None = None
    """UInt8 [n, 3, size, size]: each scene with marks for its own question (`MARKS`)."""

    def __len__(self) -> int:
        return len(self.patches)

    def row(self, kind: str, i: int) -> Row:
        """Return one conversation."""
        part = slice(self.bounds[kind][i], self.bounds[kind][i + 1])
        return Row(self.ids[kind][part], self.marks[kind][part])

    def with_rows(self, more: Mapping[str, Sequence[Row]]) -> Pool:
        """Return the pool with rows of further kinds, which have no scene (-1)."""
        if not more:
            return self
        ids, marks, bounds, scene = dict(self.ids), dict(self.marks), dict(self.bounds), dict(self.scene)
        for kind, rows in more.items():
            ids[kind], marks[kind] = (np.concatenate([getattr(row, part) for row in rows]) for part in ("ids", "marks"))
            bounds[kind] = np.cumsum([0, *(len(row.ids) for row in rows)])
            scene[kind] = np.full(len(rows), -1)
        return replace(self, ids=ids, marks=marks, bounds=bounds, scene=scene)

    def lengths(self, kind: str) -> Int64[np.ndarray, " rows"]:
        """Return the number of tokens of each conversation of a kind."""
        return np.diff(self.bounds[kind]).astype(np.int64)

    def images(self, scenes: Int64[np.ndarray, " B"]) -> UInt8[np.ndarray, "B 3 S S"]:
        """Return the pictures of scenes, those of mirrors flipped."""
        n = len(self.pixels)
        out = self.pixels[scenes % n]
        flipped = scenes >= n
        out[flipped] = out[flipped][..., ::-1]
        return out

    def marked_images(self, scenes: Int64[np.ndarray, " B"]) -> UInt8[np.ndarray, "B 3 S S"]:
        """Return the pictures of scenes with marks for their own questions; mirrors have none."""
        assert self.marked is not None
        return self.marked[scenes]


def looks_of(questions: list[Question]) -> list[Step]:
    """Return the distinct steps that need the image and no earlier answer."""
    steps = {step.text: step for question in questions for step in question.steps if step.needs_image}
    return [step for text, step in steps.items() if JUST_NAMED not in text]


def to_uint8(images: list, size: int) -> UInt8[np.ndarray, "B 3 S S"]:
    """Return pictures (PIL) as every family's image processor resizes and crops them, before it rescales and normalizes."""
    pixels = clip_pictures(size)(images, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"]
    return pixels.to(torch.uint8).numpy()


def marked(image: Image.Image, question: Question, how: str) -> Image.Image:
    """Return a copy of a question's picture in which the things that it names are marked; `how` is one of `MARKS`."""
    boxes = [box for _, box in detectable(question)]
    covered = image if how == "boxes" else cover(image, boxes)
    return covered if how == "mask" else outline(covered, boxes)


def to_float(
    processor: ProcessorMixin, pixels: UInt8[np.ndarray, "... 3 S S"], device: torch.device | str = "cpu"
) -> Float32[torch.Tensor, "... 3 S S"]:
    """Rescale and normalize as the processor does, on `device`."""
    pictures = processor.image_processor  # type: ignore[union-attr]
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (pictures.image_mean, pictures.image_std))
    return (torch.from_numpy(np.ascontiguousarray(pixels)).to(device).float() * pictures.rescale_factor - mean) / std


def prepare(settings: PoolSettings, family: str, shape: Shape, folder: Path, workers: int = 2) -> Pool:
    """Make the pool of a family in `folder`, or open what is there already (pictures from any family, rows from this one)."""
    scenes, rows = folder / "scenes.json", folder / family / "rows.json"
    made_of = {"pool": settings.facts(), "image_size": shape.image_size}
    with _unless_done(scenes, made_of) as wanted:
        if wanted:
            n = settings.n_scenes * (2 if settings.mirrors else 1)
            size = (settings.n_scenes, 3, shape.image_size, shape.image_size)
            for name in _picture_files(settings):
                np.lib.format.open_memmap(folder / name, "w+", np.uint8, size).flush()
            np.lib.format.open_memmap(folder / "patches.npy", "w+", np.uint8, (n, 36, len(PATCH_FIELDS))).flush()
            _share(_render, [(settings, shape, folder, w, workers) for w in range(workers)])
    told = {"pool": settings.facts(), "image_tokens": shape.image_tokens, "wording": WORDING}
    with _unless_done(rows, told) as wanted:
        if wanted:
            for stale in rows.parent.glob("part*.npz"):
                stale.unlink()
            _share(_converse, [(settings, family, shape, rows.parent, w, workers) for w in range(workers)])
    return _open(settings, folder, rows.parent)


@contextmanager
def _unless_done(marker: Path, made_of: dict[str, Any]) -> Iterator[bool]:
    """Gives whether work is still to be done; after the block the file `marker` records it as done."""
    text = json.dumps(made_of, sort_keys=True)
    wanted = not (marker.exists() and marker.read_text() == text)
    if wanted:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
    yield wanted
    if wanted:
        marker.write_text(text)


def _share(work: Callable[[Any], None], jobs: list) -> None:
    """Do the jobs, each in a process of its own."""
    if len(jobs) == 1:
        work(jobs[0])
        return
    with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as processes:
        list(processes.map(work, jobs))


def _scenes(settings: PoolSettings, worker: int, workers: int) -> Iterator[tuple[int, SceneQuestion]]:
    """The scenes of one process, every `workers`-th, with their numbers."""
    torch.set_num_threads(1)
    return islice(enumerate(symbolic(settings.n_scenes, "train", settings.seed)), worker, None, workers)


def _both(settings: PoolSettings, i: int, scene: Scene) -> list[tuple[int, Scene]]:
    """A scene and its mirror image, with their numbers."""
    return [(i, scene), (i + settings.n_scenes, scene.mirrored())] if settings.mirrors else [(i, scene)]


def _picture_files(settings: PoolSettings) -> tuple[str, ...]:
    return ("pixels.npy", "marked.npy") if settings.marked else ("pixels.npy",)


def _render(job: tuple[PoolSettings, Shape, Path, int, int]) -> None:
    settings, shape, folder, worker, workers = job
    pixels, *more = (np.lib.format.open_memmap(folder / name, "r+") for name in _picture_files(settings))
    patches = np.lib.format.open_memmap(folder / "patches.npy", "r+")
    for i, made in _scenes(settings, worker, workers):
        image = render(made.scene)
        pixels[i] = to_uint8([image], shape.image_size)[0]
        for with_marks in more:
            with_marks[i] = to_uint8([marked(image, made.question, MARKS[i % len(MARKS)])], shape.image_size)[0]
        for j, scene in _both(settings, i, made.scene):
            patches[j] = patch_labels(scene)
    for array in (pixels, patches, *more):
        array.flush()


def _converse(job: tuple[PoolSettings, str, Shape, Path, int, int]) -> None:
    settings, family, shape, folder, worker, workers = job
    entry = family_named(family)
    encoder = entry.encoder(entry.tokenizer(), shape)
    rows: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    owner: dict[str, list[int]] = {kind: [] for kind in KINDS}

    def add(kind: str, scene: int, row: Row) -> None:
        rows[kind].append(row)
        owner[kind].append(scene)

    for i, made in _scenes(settings, worker, workers):
        words = random.Random(f"words/{settings.seed}/{i}")

        def worded(question: Question, words: random.Random = words) -> Question:
            return entry.reword(question, words) if settings.mirrors else question

        add("own", i, encoder.steps(worded(made.question)))
        for j, scene in _both(settings, i, made.scene):
            rng = random.Random(f"pool/{settings.seed}/{j}")
            add("caption", j, encoder.caption(scene))
            asked = [worded(question) for question in ask_all(scene, rng, "train")]
            for question in asked:
                add("more", j, encoder.steps(question))
            if asked:
                add("direct", j, encoder.direct(rng.choice(asked)))
            looks = looks_of(asked)
            rng.shuffle(looks)
            for start in range(0, min(len(looks), 2 * QUIZ_STEPS), QUIZ_STEPS):
                add("quiz", j, encoder.quiz(looks[start : start + QUIZ_STEPS]))
    arrays: dict[str, np.ndarray] = {}
    for kind in KINDS:
        arrays[f"{kind}.ids"] = np.concatenate([row.ids for row in rows[kind]])
        arrays[f"{kind}.marks"] = np.concatenate([row.marks for row in rows[kind]])
        arrays[f"{kind}.lengths"] = np.array([len(row.ids) for row in rows[kind]])
        arrays[f"{kind}.scene"] = np.array(owner[kind])
    np.savez(folder / f"part{worker}.npz", **arrays)  # type: ignore[arg-type]


def _open(settings: PoolSettings, folder: Path, rows: Path) -> Pool:
    """The rows of all processes in the order of scenes, so that it does not depend on the number of processes."""
    parts = [dict(np.load(path)) for path in sorted(rows.glob("part*.npz"))]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in parts])

    ids, marks, bounds, scene = {}, {}, {}, {}
    for kind in KINDS:
        owners, lengths = joined(f"{kind}.scene"), joined(f"{kind}.lengths")
        order = np.argsort(owners, kind="stable")
        ends = lengths.cumsum()
        take = np.concatenate([np.arange(int(ends[i] - lengths[i]), int(ends[i])) for i in order])
        ids[kind], marks[kind] = joined(f"{kind}.ids")[take], joined(f"{kind}.marks")[take]
        bounds[kind] = np.concatenate([[0], lengths[order].cumsum()])
        scene[kind] = owners[order]
    pixels, *more = (np.load(folder / name, mmap_mode="r") for name in _picture_files(settings))
    return Pool(pixels, np.load(folder / "patches.npy"), ids, marks, bounds, scene, *more)
