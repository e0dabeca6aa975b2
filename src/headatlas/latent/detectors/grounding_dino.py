"""The detector `grounding_dino` (arXiv 2303.05499)."""

from __future__ import annotations

from typing import Any

from PIL import Image

from headatlas.latent.detectors.base import detector
from headatlas.latent.detectors.open_vocabulary import Found, OpenVocabulary


@detector("grounding_dino")
class GroundingDino(OpenVocabulary):
    """Grounding DINO of transformers; see `OpenVocabulary` for the arguments."""

    name = "grounding_dino"
    checkpoint = "IDEA-Research/grounding-dino-tiny"

    def _find(self, model: Any, processor: Any, image: Image.Image, words: tuple[str, ...]) -> Found:
        inputs = processor(text=" ".join(f"{word}." for word in words), images=image, return_tensors="pt")
        inputs = inputs.to(self.device)
        (found,) = processor.post_process_grounded_object_detection(
            model(**inputs), inputs["input_ids"], threshold=self.threshold, text_threshold=self.threshold,
            target_sizes=[(image.height, image.width)],
        )  # fmt: skip
        return list(zip(found["text_labels"], found["scores"].tolist(), found["boxes"].tolist(), strict=True))
