"""The method `sha`, spatial head activation from the input side (arXiv 2603.20662), and its arms.

Detected things are outlined (`boxes`), covered with their mean colour so that only place and extent remain visible (`mask`), or
both (`boxes+mask`), and this picture replaces the original. In the arms `added_boxes`, `added_mask` and `added_boxes+mask` (the
paper's) it is a second image beside the original. The controls are outlines at random places (`random_boxes`), covers of equal
area at random places (`random_mask`), the places as words (`coordinates`), and a second image without new information
(`image_twice`, `added_random_boxes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from headatlas.cogvsr.marks import cover, elsewhere, outline
from headatlas.cogvsr.schema import Question
from headatlas.latent.detectors import Detections, Detector, GroundTruth
from headatlas.latent.methods.base import Cost, MethodInputs, Shown, ShowQuestion, method
from headatlas.registry import Registry

ORIGINAL = "original"
"""The arm that every other is compared with."""

Draw = Callable[[Question, Detections], Shown]


@dataclass(frozen=True)
class ArmKind:
    """A registered arm: how it shows a question with its detections, and the arm that is its control ("" for none)."""

    draw: Draw
    control: str = ""


ARMS: Registry[ArmKind] = Registry("arm", ("headatlas.latent.methods.*",))
"""The arms by name. A new one is a function with `@arm("name")` in a new file here, or in another package."""


def arm(name: str, *, control: str = "") -> Callable[[Draw], Draw]:
    """Decorator that registers a function `f(question, detections) -> (images, preamble)` as an arm.

    Args:
        name: of the arm, as in results/activation.csv.
        control: the arm that it is compared with, besides `original`.
    """

    def register(draw: Draw) -> Draw:
        ARMS.add(name, ArmKind(draw, control))
        return draw

    return register


@dataclass(frozen=True)
class Arm:
    """A way of showing a question, to be passed to `vlm.evaluate(arm=...)` or `Runner(arms=...)`.

    Attributes:
        name: one of `ARMS`.
        detector: where the things are.
    """

    name: str
    detector: Detector

    @property
    def fingerprint(self) -> str:
        """Covers the arm and its detector, for cached conditions."""
        return f"{self.name}:{self.detector.fingerprint}"

    @property
    def control(self) -> str:
        """The arm that this one is compared with, besides `original`; "" for none."""
        return ARMS[self.name].control

    def __call__(self, question: Question) -> Shown:
        """Images and preamble to show instead of the question's own; the question is not changed."""
        return ARMS[self.name].draw(question, self.detector(question))


def arms(detector: Detector | None = None) -> dict[str, Arm]:
    """All arms by name, `original` first, sharing one detector (default: ground truth of what the question names)."""
    shared = detector or GroundTruth()
    return {name: Arm(name, shared) for name in dict.fromkeys((ORIGINAL, *ARMS))}


@method("sha")
@dataclass
class SHA:
    """Spatial head activation: the question is shown by one arm. Nothing is fitted or tuned."""

    arm: str = "added_boxes+mask"
    detector: Detector = field(default_factory=GroundTruth)
    name: str = "sha"
    controls: tuple[str, ...] = ("random_boxes", "image_twice")
    needs: tuple[str, ...] = ("detector",)

    @property
    def cost(self) -> Cost:
        """Two images a question where the changed picture is shown beside the original."""
        return Cost(images=2.0 if self.arm.startswith("added_") or self.arm == "image_twice" else 1.0)

    def fit(self, inputs: MethodInputs) -> None:
        """Take the detector; nothing is fitted. A control changes the arm or the boxes."""
        self.detector = inputs.detector
        if inputs.control == "random_boxes":
            self.arm = ARMS[self.arm].control or "random_boxes"
        if inputs.control == "image_twice":
            self.arm = "image_twice"

    def tune(self, inputs: MethodInputs) -> None:
        """Nothing is tuned."""

    @contextmanager
    def applied(self, vlm: Any) -> Iterator[ShowQuestion]:
        """The arm, while the block lasts; the model is not edited."""
        yield Arm(self.arm, self.detector)


@arm(ORIGINAL)
def _original(question: Question, detections: Detections) -> Shown:
    return question.images, ""


@arm("boxes", control="random_boxes")
def _boxes(question: Question, detections: Detections) -> Shown:
    return _first(question, lambda image: outline(image, [box for _, box in detections])), ""


@arm("mask", control="random_mask")
def _mask(question: Question, detections: Detections) -> Shown:
    return _first(question, lambda image: cover(image, [box for _, box in detections])), ""


@arm("boxes+mask", control="random_boxes")
def _boxes_mask(question: Question, detections: Detections) -> Shown:
    boxes = [box for _, box in detections]
    return _first(question, lambda image: outline(cover(image, boxes), boxes)), ""


@arm("random_boxes")
def _random_boxes(question: Question, detections: Detections) -> Shown:
    moved = elsewhere([box for _, box in detections], seed=question.id)
    return _first(question, lambda image: outline(image, moved)), ""


@arm("random_mask")
def _random_mask(question: Question, detections: Detections) -> Shown:
    moved = elsewhere([box for _, box in detections], seed=question.id)
    return _first(question, lambda image: cover(image, moved)), ""


@arm("added_boxes", control="added_random_boxes")
def _added_boxes(question: Question, detections: Detections) -> Shown:
    return _beside(question, _boxes(question, detections))


@arm("added_mask", control="added_random_boxes")
def _added_mask(question: Question, detections: Detections) -> Shown:
    return _beside(question, _mask(question, detections))


@arm("added_boxes+mask", control="added_random_boxes")
def _added_boxes_mask(question: Question, detections: Detections) -> Shown:
    return _beside(question, _boxes_mask(question, detections))


@arm("added_random_boxes")
def _added_random_boxes(question: Question, detections: Detections) -> Shown:
    boxes = elsewhere([box for _, box in detections], seed=question.id)
    return _beside(question, (_first(question, lambda image: outline(cover(image, boxes), boxes)), ""))


@arm("coordinates")
def _coordinates(question: Question, detections: Detections) -> Shown:
    return question.images, in_words(detections)


@arm("image_twice")
def _image_twice(question: Question, detections: Detections) -> Shown:
    return question.images * 2, ""


def _beside(question: Question, shown: Shown) -> Shown:
    """The question's own images, followed by the changed first one."""
    return (*question.images, *shown[0][:1]), shown[1]


def in_words(detections: Detections) -> str:
    """Each thing's middle in per cent of the image's width and height, one short sentence a thing; "" for none."""
    lines = []
    for name, box in detections:
        x, y = box.center
        lines.append(f"{name}: {round(100 * x)}% from the left, {round(100 * y)}% from the top.")
    return " ".join(lines)


def _first(question: Question, draw: Callable[[Image.Image], Image.Image]) -> tuple[Image.Image, ...]:
    """The question's images with the first one changed, to which the detections belong."""
    return (draw(question.images[0]), *question.images[1:]) if question.images else ()
