"""What the detectors `owlv2` and `grounding_dino` share: zero-shot object detection by transformers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import torch
from PIL import Image

from headatlas.cogvsr.schema import Box, Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.detectors.base import Detections, picture_key, things_named
from headatlas.pictures import upright
from headatlas.vlm.identity import weights_digest

Found = list[tuple[str, float, list[float]]]
"""(label, score, [x0, y0, x1, y1] in pixels of the upright picture) of each box."""


class OpenVocabulary(ABC):
    """A zero-shot detector of transformers, asked for what a question names. It looks at a picture once for the same words.

    Args:
        source: folder or Hugging Face id of the checkpoint; weights must be safetensors.
        threshold: boxes with a lower score are dropped, 0..1.
        most: largest number of boxes of one label; the best are taken.
        device: by default the first CUDA device if there is one, else the CPU.

    Raises:
        HeadAtlasError: a threshold outside 0..1, `most` below 1; at first use, a checkpoint that cannot be loaded.
    """

    name: ClassVar[str]
    checkpoint: ClassVar[str]
    """Used if no source is given."""

    def __init__(self, source: str = "", threshold: float = 0.25, most: int = 3, device: str | None = None) -> None:
        if not 0 <= threshold <= 1:
            raise HeadAtlasError(f"threshold must be in 0..1, got {threshold}")
        if most < 1:
            raise HeadAtlasError(f"most must be >= 1, got {most}")
        self.source, self.threshold, self.most = source or self.checkpoint, threshold, most
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._seen: dict[tuple[str, tuple[str, ...]], Detections] = {}

    @property
    def fingerprint(self) -> str:
        """Covers weights, threshold and number of boxes. The checkpoint is loaded for it."""
        return f"{self.name}:{self._digest}:{self.threshold!r}:{self.most}"

    @cached_property
    def _digest(self) -> str:
        """A digest of the weights."""
        return weights_digest(self._loaded[0])

    def __call__(self, question: Question) -> Detections:
        """Boxes of the things that the question names, in the order in which it names them, the best first."""
        words = tuple(things_named(question))
        if not question.images or not words:
            return []
        key = (picture_key(question.images[0]), words)
        if key not in self._seen:
            self._seen[key] = self._detections(upright(question.images[0]).convert("RGB"), words)
        return list(self._seen[key])

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Model and processor."""
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        try:
            model: Any = AutoModelForZeroShotObjectDetection.from_pretrained(self.source, use_safetensors=True)
            return model.eval().requires_grad_(False).to(self.device), AutoProcessor.from_pretrained(self.source)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise HeadAtlasError(f"detector {self.name!r}: {self.source!r} cannot be loaded: {text}") from error

    def _detections(self, image: Image.Image, words: tuple[str, ...]) -> Detections:
        by_word: dict[str, list[tuple[float, Box]]] = {}
        with torch.inference_mode():
            found = self._find(*self._loaded, image, words)
        for label, score, corners in found:
            box, word = inside(corners, image.size), nearest(label, words)
            if box is not None and word is not None:
                by_word.setdefault(word, []).append((score, box))
        return [
            (word, box)
            for word in words
            for _, box in sorted(by_word.get(word, ()), key=lambda one: -one[0])[: self.most]
        ]

    @abstractmethod
    def _find(self, model: Any, processor: Any, image: Image.Image, words: tuple[str, ...]) -> Found:
        """Everything above the threshold."""


def inside(corners: list[float], size: tuple[int, int]) -> Box | None:
    """Pixels of a picture of `size` = (width, height) as a box in 0..1, cut at its edges; None for one outside or of no area."""
    x0, x1 = (min(max(x / size[0], 0.0), 1.0) for x in corners[0::2])
    y0, y1 = (min(max(y / size[1], 0.0), 1.0) for y in corners[1::2])
    return Box(x0=x0, y0=y0, x1=x1, y1=y1) if x0 < x1 and y0 < y1 else None


def nearest(label: str, words: tuple[str, ...]) -> str | None:
    """The asked word that a label stands for: itself, or the one that shares most of its parts; None if it shares none."""
    parts = set(label.strip(" .").lower().split())
    best = max(words, key=lambda word: len(parts & set(word.split())) - len(set(word.split()) - parts) / 100)
    return best if parts & set(best.split()) else None
