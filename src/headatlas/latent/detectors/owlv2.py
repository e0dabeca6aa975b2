"""The detector `owlv2` (arXiv 2306.09683)."""

from __future__ import annotations

from typing import Any

from PIL import Image

from headatlas.latent.detectors.base import detector
from headatlas.latent.detectors.open_vocabulary import Found, OpenVocabulary

TOKENS = 16
"""Tokens of each text that the published checkpoints read; longer ones are cut."""


@detector("owlv2")
class Owlv2(OpenVocabulary):
    """OWLv2 of transformers; see `OpenVocabulary` for the arguments."""

    name = "owlv2"
    checkpoint = "google/owlv2-base-patch16-ensemble"

    def _find(self, model: Any, processor: Any, image: Image.Image, words: tuple[str, ...]) -> Found:
        texts = [[f"a photo of a {word}" for word in words]]
        inputs = processor(
            text=texts, images=image, return_tensors="pt", padding="max_length", max_length=TOKENS, truncation=True
        )
        # Pictures are padded to a square at the right and below; the processor scales boxes back from that square.
        (found,) = processor.post_process_grounded_object_detection(
            model(**inputs.to(self.device)), threshold=self.threshold, target_sizes=[(image.height, image.width)]
        )
        labels = [words[int(label)] for label in found["labels"]]
        return list(zip(labels, found["scores"].tolist(), found["boxes"].tolist(), strict=True))
