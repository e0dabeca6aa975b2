"""The method `spatial_id` (arXiv 2601.12626): add to the word of each thing a vector for the thing's place.

Models bind places to words: the state of "car" in the middle of the network holds in which part of the picture the car is. The
*spatial ID* of a cell of a grid over the picture is what the states of words of things in that cell have in common: their mean,
each word's own mean taken out, minus the mean over cells. The ID of the cell that a detector finds a thing in is added to the
states of its words, with a length in multiples of the state's own. Layer and length are tuned on split T.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headatlas.cogvsr.marks import elsewhere
from headatlas.cogvsr.schema import Box, Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.detectors import Detections, Detector, GroundTruth
from headatlas.latent.methods.base import Cost, MethodInputs, Shown, ShowQuestion, Strength, method
from headatlas.latent.methods.sinks import watched
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM, Batch, conversation
from headatlas.vlm.loss import answer_logits, batched

GRID = 3
"""Cells along each side of the picture."""

Mention = tuple[int, int, str, int]
"""(batch row, position of the last token of a thing's name, name, cell that the thing is in)."""


@method("spatial_id")
@dataclass
class SpatialID:
    """Add to the words of things a vector for the thing's place.

    Args:
        depths: layers tried, as shares of the depth.
        lengths: lengths tried, in multiples of the state's own; 5 is the published one.

    Attributes:
        ids: unit vectors by layer, [cells, d]; zero for cells in which split P has nothing.
        layer: where they are added, as tuned.
        length: what is added, in multiples of the state's own length, as tuned; 0 for nothing.
    """

    depths: Sequence[float] = (0.25, 0.5, 0.75)
    lengths: Sequence[float] = (0.5, 1.0, 5.0)
    name: str = "spatial_id"
    controls: tuple[str, ...] = ("random_directions", "random_boxes", "shuffled")
    needs: tuple[str, ...] = ("detector",)
    detector: Detector = field(default_factory=GroundTruth)
    random_boxes: bool = False
    ids: dict[int, Tensor] = field(default_factory=dict)
    layer: int = 0
    length: float = 0.0
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """A vector for each cell, of one layer."""
        return Cost(parameters=next(iter(self.ids.values())).numel() if self.ids else 0)

    def fit(self, inputs: MethodInputs) -> None:
        """Take the spatial IDs from split P."""
        self.detector, self.random_boxes = inputs.detector, inputs.control == "random_boxes"
        self.layer, self.length, self.ids = 0, 0.0, {}
        depth = len(inputs.vlm.heads.tower("L"))
        layers = sorted({round(share * (depth - 1)) for share in self.depths})
        states, mentions = word_states(inputs, layers, self._detect)
        cells = np.array([cell for *_, cell in mentions])
        if len(set(cells.tolist())) < 2:
            self.reason = "no question of split P names things that are found in two or more places"
            return
        if inputs.control == "shuffled":
            cells = inputs.rng.permutation(cells)
        names = [name for _, _, name, _ in mentions]
        for layer, of_layer in states.items():
            ids = spatial_ids(of_layer, names, cells)
            if inputs.control == "random_directions":
                drawn = torch.from_numpy(inputs.rng.standard_normal(ids.shape).astype(np.float32))
                ids = torch.where(ids.abs().sum(1, keepdim=True) > 0, drawn, 0.0)
            self.ids[layer] = torch.nn.functional.normalize(ids, dim=1)
        self.reason = (
            "" if any(bool(ids.any()) for ids in self.ids.values()) else "the words' states are the same everywhere"
        )

    def tune(self, inputs: MethodInputs) -> None:
        """Choose layer and length on split T."""
        if self.reason:
            return
        tried = list(product(self.ids, self.lengths))
        lengths, layers = [length for _, length in tried], [f"layer {layer}" for layer, _ in tried]
        tune_strength(self, inputs, tried, self._use, values=lengths, settings=layers)

    def _use(self, strength: tuple[int, float] | None) -> None:
        self.layer, self.length = strength or (0, 0.0)

    def _detect(self, question: Question) -> Detections:
        found = self.detector(question)
        if not self.random_boxes:
            return found
        boxes = elsewhere([box for _, box in found], seed=question.id)
        return [(name, box) for (name, _), box in zip(found, boxes, strict=True)]

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[ShowQuestion | None]:
        """Within the block, questions that are shown by what it gives have a vector for each thing's place added to its words."""
        if not self.length or self.reason:
            yield None
            return
        found: dict[str, Detections] = {}

        def show(question: Question) -> Shown:
            found[question.id] = self._detect(question)
            return question.images, ""

        ids = hashlib.sha256(self.ids[self.layer].float().cpu().contiguous().numpy().tobytes()).hexdigest()
        key = f"spatial_id:{self.layer}:{self.length!r}:{self.random_boxes}:{self.detector.fingerprint}:{ids}"
        with vlm.around_batches(lambda batch, rows: self._within(vlm, batch, found), key):
            yield show

    @contextmanager
    def _within(self, vlm: VLM, batch: Batch, found: dict[str, Detections]) -> Iterator[None]:
        missing = [name for name in batch.names if name not in found]
        if missing:
            raise HeadAtlasError(
                f"spatial_id does not know where the things of {missing[0] or 'this conversation'!r} are: evaluate with the arm "
                "that `applied` gives"
            )
        mentions = mentions_in(vlm, batch, [found[name] for name in batch.names])
        if not mentions:
            yield
            return
        layer, length = self.layer, self.length
        rows, at, cells = (
            [row for row, *_ in mentions],
            [at for _, at, *_ in mentions],
            [cell for *_, cell in mentions],
        )
        ids, fired = self.ids[layer][cells], 0

        def add(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            nonlocal fired
            hidden = args[0] if args else kwargs["hidden_states"]
            if hidden.shape[1] != batch.ids.shape[1]:  # decoding: the words are in the cache
                return None
            fired += 1
            hidden = hidden.clone()
            own = hidden[rows, at]
            hidden[rows, at] = own + (length * own.norm(dim=-1, keepdim=True) * ids.to(own))
            return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

        site = next(site for site in vlm.heads.tower("L") if site.layer == layer)
        block = vlm.model.get_submodule(site.owner.rpartition(".")[0])
        handle = block.register_forward_pre_hook(add, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        if not fired:
            raise HeadAtlasError(f"spatial_id: block {layer} of {vlm.name} was never called on the whole prompt")


def cell_of(box: Box) -> int:
    """The cell of the grid, 0..GRID^2 - 1 row by row, that a box's middle is in."""
    x, y = box.center
    return min(int(y * GRID), GRID - 1) * GRID + min(int(x * GRID), GRID - 1)


def spatial_ids(states: Float[Tensor, "n d"], names: Sequence[str], cells: np.ndarray) -> Float[Tensor, "cells d"]:
    """What the states of words of things in each cell have in common: each word's mean taken out, minus the mean over cells.

    Zero for cells without a state.
    """
    states = states.clone()
    for name in set(names):
        own = torch.tensor([other == name for other in names])
        states[own] -= states[own].mean(0)
    ids, there = torch.zeros(GRID * GRID, states.shape[1]), sorted(set(cells.tolist()))
    for cell in there:
        ids[cell] = states[torch.from_numpy(cells == cell)].mean(0)
    ids[there] -= ids[there].mean(0)
    return ids


def mentions_in(vlm: VLM, batch: Batch, detections: Sequence[Detections]) -> list[Mention]:
    """Where the rows' texts name their things; the name alone ("car") counts where the label ("red car") does not occur."""
    found: list[Mention] = []
    for row, things in enumerate(detections):
        text, ends = _text(vlm, batch, row)
        last: dict[str, Any] = {}
        for label, box in things:
            last.setdefault(label.lower().split()[-1], []).append((label.lower(), box))
        for noun, some in last.items():
            for label, box in some:
                spans = _spans(label, text) or (_spans(noun, text) if len(some) == 1 else [])
                found += [(row, ends[end - 1], label, cell_of(box)) for end in spans]
    return sorted(set(found))


def _spans(word: str, text: str) -> list[int]:
    """Where the word ends in the text, in the plural too."""
    return [match.end() for match in re.finditer(rf"\b{re.escape(word)}(?:e?s)?\b", text)]


def _text(vlm: VLM, batch: Batch, row: int) -> tuple[str, list[int]]:
    """The row's tokens as lower-case text, and the position of the token that each of its characters comes from."""
    pieces = vlm.tokenizer.convert_ids_to_tokens(batch.ids[row].tolist())
    text, ends = [], []
    for position, piece in enumerate(pieces):
        plain = str(piece).replace("▁", " ").replace("Ġ", " ").removesuffix("</w>").lower()
        if not bool(batch.mask[row, position]) or bool(batch.image_mask[row, position]):
            plain = " "
        text.append(plain)
        ends += [position] * len(plain)
    return "".join(text), ends


@torch.no_grad()
def word_states(
    inputs: MethodInputs, layers: Sequence[int], detect: Any
) -> tuple[dict[int, Float[Tensor, "n d"]], list[Mention]]:
    """The states that enter some layers at the words of things, on split P, and what the words mention."""
    vlm, questions = inputs.vlm, inputs.questions("P")
    states: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    mentions: list[Mention] = []
    sites = [site for site in vlm.heads.tower("L") if site.layer in layers]
    for rows, batch in batched(vlm, [conversation(q) for q in questions], inputs.batch_size, refused={}):
        here = mentions_in(vlm, batch, [detect(questions[row]) for row in rows])
        if not here:
            continue
        row, at = [one[0] for one in here], [one[1] for one in here]

        def note(site: Any, hidden: Tensor, row: list[int] = row, at: list[int] = at) -> None:
            states[site.layer].append(hidden[row, at].float().cpu())

        with ExitStack() as stack:
            for site in sites:
                stack.enter_context(watched(vlm, site, note))
            answer_logits(vlm, batch)
        mentions += here
    return {layer: torch.cat(parts) for layer, parts in states.items() if parts}, mentions
