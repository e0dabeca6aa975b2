"""CogVSR's records: a main question, its steps, the objects in its image.

Knows pydantic and Pillow; knows nothing of models, of rendering or of files. Boxes are normalised to the image (0..1, XYXY,
origin top left), so that they hold at any resolution.
"""

from __future__ import annotations

from typing import Annotated, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from headatlas.cogvsr.functions import check_function

AnswerType = Literal["yes_no", "choice", "number", "text"]
Split = Literal["train", "P", "S", "T", "E"]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Box(_Record):
    """An axis-aligned box, XYXY, normalised to the image: 0 is left/top, 1 is right/bottom."""

    x0: Unit
    y0: Unit
    x1: Unit
    y1: Unit

    @model_validator(mode="after")
    def _ordered(self) -> Box:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"expected x0 < x1 and y0 < y1, came ({self.x0}, {self.y0}, {self.x1}, {self.y1})")
        return self

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle, normalised."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


class SceneObject(_Record):
    """One thing in an image. Fields a source does not know are None."""

    id: int
    cls: str
    color: str | None = None
    size: str | None = None
    texture: str | None = None
    facing: str | None = None
    box: Box | None = None
    row: int | None = None
    column: int | None = None
    depth: int | None = None
    """0 is nearest to the viewer; larger is farther."""
    visible: Unit | None = None
    """Share of the thing's area that no nearer thing covers."""


class Step(_Record):
    """One subquestion of a chain of thought, with its short answer and the cognitive functions it needs, primary first."""

    text: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    answer_type: AnswerType
    functions: tuple[str, ...] = Field(min_length=1)
    options: tuple[str, ...] = ()
    kind: str = ""
    """The template the step was made from, such as `column_of`; empty for steps written by people or an LLM."""
    needs_image: bool = True
    """False if question, earlier steps and knowledge suffice."""
    boxes: tuple[Box, ...] = ()
    """Where in the image the evidence lies."""

    @field_validator("functions")
    @classmethod
    def _known(cls, functions: tuple[str, ...]) -> tuple[str, ...]:
        for name in functions:
            check_function(name)
        if len(set(functions)) != len(functions):
            raise ValueError(f"expected each function once, came {functions}")
        return functions

    @property
    def function(self) -> str:
        """The primary function."""
        return self.functions[0]


class Question(_Record):
    """A CogVSR main question about one or more images, decomposed into steps; the last step's answer is the answer."""

    id: str
    source: str
    split: Split
    family: str = ""
    scene: str = ""
    """Questions with the same scene share their images, or show mirror images of them: a split never cuts a scene."""
    images: tuple[Image.Image, ...] = ()
    text: str = Field(min_length=1)
    options: tuple[str, ...] = ()
    answer: str = Field(min_length=1)
    answer_type: AnswerType
    steps: tuple[Step, ...] = Field(min_length=1)
    objects: tuple[SceneObject, ...] = ()
    pair: str = ""
    """Id of the question this one is the minimal pair of; empty if it is not."""
    pair_kind: Literal["", "mirror", "swap"] = ""

    @model_validator(mode="after")
    def _ends_in_the_answer(self) -> Question:
        if self.steps[-1].answer != self.answer:
            raise ValueError(f"expected the last step's answer to be {self.answer!r}, came {self.steps[-1].answer!r}")
        return self
