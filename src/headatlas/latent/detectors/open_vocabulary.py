"""The detectors `owlv2` and `grounding_dino`: open-vocabulary detection by transformers, asked for what a question names.

Published checkpoints: `google/owlv2-base-patch16-ensemble`, `IDEA-Research/grounding-dino-tiny`. The model is loaded at the first
picture. Every picture is looked at once for the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from headatlas.cogvsr.schema import Box, Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.detectors.base import Detections, detector, picture_key, things_named
from headatlas.pictures import upright


class OpenVocabulary:
    """A zero-shot object detector of transformers.

    Args:
        source: folder or Hugging Face id of the checkpoint.
        threshold: boxes with a lower score are dropped, 0..1.
        most: boxes of one label at most, the best first.
        device: by default the first CUDA device if there is one, else the CPU.

    Raises:
        HeadAtlasError: a threshold outside 0..1; at the first picture, a checkpoint that cannot be loaded.
    """

    name = ""
    checkpoint = ""
    padding: Mapping[str, Any] = MappingProxyType({})
    """How texts of several lengths are made one batch."""

    def __init__(self, source: str = "", threshold: float = 0.25, most: int = 3, device: str | None = None) -> None:
        if not 0 <= threshold <= 1:
            raise HeadAtlasError(f"threshold must be in 0..1, got {threshold}")
        self.source, self.threshold, self.most = source or self.checkpoint, threshold, most
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._loaded: tuple[Any, Any] | None = None
        self._seen: dict[tuple[str, tuple[str, ...]], Detections] = {}

    @property
    def fingerprint(self) -> str:
        """Covers checkpoint and thresholds."""
        return f"{self.name}:{self.source}:{self.threshold}:{self.most}"

    def __call__(self, question: Question) -> Detections:
        """Boxes of the things that the question names, best first within a label."""
        words = tuple(things_named(question))
        if not question.images or not words:
            return []
        key = (picture_key(question.images[0]), words)
        if key not in self._seen:
            self._seen[key] = self._detect(upright(question.images[0]).convert("RGB"), words)
        return list(self._seen[key])

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

            try:
                model: Any = AutoModelForZeroShotObjectDetection.from_pretrained(self.source, use_safetensors=True)
                self._loaded = model.eval().to(self.device), AutoProcessor.from_pretrained(self.source)
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                raise HeadAtlasError(f"detector {self.name!r}: {self.source!r} cannot be loaded: {text}") from error
        return self._loaded

    @torch.inference_mode()
    def _detect(self, image: Any, words: tuple[str, ...]) -> Detections:
        model, processor = self._model()
        text = {"text": self._prompt(words), **self.padding}
        inputs = processor(images=image, return_tensors="pt", **text).to(self.device)
        result = self._boxes(processor, model(**inputs), inputs, (image.height, image.width))
        by_label: dict[str, list[tuple[float, Box]]] = {}
        for score, label, corners in zip(*result, strict=True):
            box = _box(corners, image.width, image.height)
            word = words[label] if isinstance(label, int) else _nearest(str(label), words)
            if box is not None and word is not None:
                by_label.setdefault(word, []).append((float(score), box))
        return [
            (word, box)
            for word in words
            for _, box in sorted(by_label.get(word, ()), key=lambda found: -found[0])[: self.most]
        ]

    def _prompt(self, words: tuple[str, ...]) -> Any:
        raise NotImplementedError

    def _boxes(self, processor: Any, outputs: Any, inputs: Any, size: tuple[int, int]) -> tuple[Any, Any, Any]:
        raise NotImplementedError


@detector("owlv2")
class Owlv2(OpenVocabulary):
    """OWLv2 (arXiv 2306.09683)."""

    name = "owlv2"
    checkpoint = "google/owlv2-base-patch16-ensemble"
    padding: Mapping[str, Any] = MappingProxyType({"padding": "max_length", "max_length": 16, "truncation": True})

    def _prompt(self, words: tuple[str, ...]) -> Any:
        return [[f"a photo of a {word}" for word in words]]

    def _boxes(self, processor: Any, outputs: Any, inputs: Any, size: tuple[int, int]) -> tuple[Any, Any, Any]:
        (found,) = processor.post_process_grounded_object_detection(
            outputs, threshold=self.threshold, target_sizes=[size]
        )
        return found["scores"].tolist(), [int(label) for label in found["labels"]], found["boxes"].tolist()


@detector("grounding_dino")
class GroundingDino(OpenVocabulary):
    """Grounding DINO (arXiv 2303.05499)."""

    name = "grounding_dino"
    checkpoint = "IDEA-Research/grounding-dino-tiny"

    def _prompt(self, words: tuple[str, ...]) -> Any:
        return " ".join(f"{word}." for word in words)

    def _boxes(self, processor: Any, outputs: Any, inputs: Any, size: tuple[int, int]) -> tuple[Any, Any, Any]:
        (found,) = processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=self.threshold, text_threshold=self.threshold, target_sizes=[size]
        )
        return found["scores"].tolist(), list(found["text_labels"]), found["boxes"].tolist()


def _box(corners: list[float], width: int, height: int) -> Box | None:
    """Pixels as a box in 0..1, cut at the picture's edges; None for one of no area."""
    x0, x1 = (min(max(x / width, 0.0), 1.0) for x in corners[0::2])
    y0, y1 = (min(max(y / height, 0.0), 1.0) for y in corners[1::2])
    return Box(x0=x0, y0=y0, x1=x1, y1=y1) if x0 < x1 and y0 < y1 else None


def _nearest(label: str, words: tuple[str, ...]) -> str | None:
    """The word of the prompt that a label, which may be part of it, stands for; None for a label of no word."""
    label = label.strip(" .").lower()
    shared = {word: len(set(label.split()) & set(word.split())) for word in words}
    best = max(words, key=lambda word: shared[word])
    return best if shared[best] else None
