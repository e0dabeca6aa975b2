"""The detector `ground_truth`: the boxes that are part of the dataset."""

from __future__ import annotations

from dataclasses import dataclass

from headatlas.cogvsr.marks import detectable
from headatlas.cogvsr.schema import Question
from headatlas.latent.detectors.base import Detections, detector


@detector("ground_truth")
@dataclass(frozen=True)
class GroundTruth:
    """The boxes that are part of the dataset (`question.objects`).

    Args:
        mentioned: only things whose class (and colour, where the text gives that class one) the question names, as a
            detector prompted with the question would find; all things if the question names none.
    """

    mentioned: bool = True

    @property
    def fingerprint(self) -> str:
        """The option; the boxes are part of the data's own fingerprint."""
        return f"ground_truth:{self.mentioned}"

    def __call__(self, question: Question) -> Detections:
        """Visible objects that have a box, in the dataset's order."""
        return detectable(question, self.mentioned)
