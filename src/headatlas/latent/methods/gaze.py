"""The method `gaze`: make the chosen heads look at the things that a question is about.

At the positions that predict answers, beta is added to the attention logits of the image tokens that show a thing, and subtracted
from those of all other image tokens. A detector finds the things; beta is tuned on split T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from headatlas.cogvsr.marks import elsewhere
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, attend, edit_heads
from headatlas.latent.detectors import Detections, Detector, GroundTruth
from headatlas.latent.methods.base import Cost, MethodInputs, Shown, ShowQuestion, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM, Batch
from headatlas.vlm.image_tokens import key_mask


@method("gaze")
@dataclass
class Gaze:
    """Turn the chosen heads toward the things a question names.

    Args:
        tried: values of beta, in logits.

    Attributes:
        heads: the chosen heads.
        beta: as tuned; 0 for none.
    """

    tried: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
    name: str = "gaze"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "random_boxes")
    needs: tuple[str, ...] = ("attention", "heads", "detector")
    heads: HeadSet = field(default_factory=lambda: HeadSet(()))
    detector: Detector = field(default_factory=GroundTruth)
    random_boxes: bool = False
    beta: float = 0.0
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """One number."""
        return Cost(parameters=1)

    def fit(self, inputs: MethodInputs) -> None:
        """Take the chosen heads and the detector; nothing is fitted."""
        self.heads, self.detector = inputs.spatial_heads, inputs.detector
        self.random_boxes, self.beta = inputs.control == "random_boxes", 0.0
        self.reason = "" if self.heads else "no heads are chosen"
        if self.heads and not inputs.vlm.image_in_text:
            self.heads, self.reason = HeadSet(()), f"it needs image tokens in the text: {inputs.vlm.picture_path}"

    def tune(self, inputs: MethodInputs) -> None:
        """Choose beta on split T."""
        if self.heads:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, beta: float | None) -> None:
        self.beta = beta or 0.0

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[ShowQuestion | None]:
        """Within the block the heads look at the things of questions that are shown by the function it gives."""
        if not self.beta:
            yield None
            return
        shown: dict[str, Detections] = {}

        def show(question: Question) -> Shown:
            detections = self.detector(question)
            if self.random_boxes:
                boxes = elsewhere([box for _, box in detections], seed=question.id)
                detections = [(name, box) for (name, _), box in zip(detections, boxes, strict=True)]
            shown[question.id] = detections
            return question.images, ""

        def enter(batch: Batch, rows: Sequence[int]) -> AbstractContextManager[Any]:
            regions = torch.stack([self._region(vlm, batch, row, shown) for row in range(len(batch.starts))])
            # Two edits for all rows at once: rows in which nothing was found have no keys and stay unchanged.
            others = batch.image_mask & ~regions & regions.any(1, keepdim=True)
            edits = [attend(self.heads, regions, self.beta), attend(self.heads, others, -self.beta)]
            return edit_heads(vlm.model, vlm.heads, edits, "answer", batch.positions)

        key = f"gaze:{self.beta!r}:{self.random_boxes}:{self.detector.fingerprint}:{self.heads.sorted()}"
        with vlm.around_batches(enter, key):
            yield show

    def _region(self, vlm: VLM, batch: Batch, row: int, found: dict[str, Detections]) -> torch.Tensor:
        """Image tokens of the row that show one of its things; none where nothing was found."""
        name = batch.names[row]
        if name not in found:
            raise HeadAtlasError(
                f"gaze does not know where the things of {name or 'this conversation'!r} are: evaluate with the arm that "
                "`applied` gives"
            )
        mask = torch.zeros_like(batch.image_mask[row])
        for _, box in found[name]:
            mask |= key_mask(vlm, batch, row, box)
        return mask
