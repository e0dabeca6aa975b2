"""The records of CogVSR: a main question, its steps, and the objects in its picture.

Boxes are XYXY, normalised to 0..1, with the origin at the top left of the *upright* picture, as people see it: after its
EXIF orientation has been applied. Boxes made from stored pixels are brought there by `Question.turned`, and pictures are
stored upright, without an EXIF orientation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from headatlas.cogvsr.functions import check_function
from headatlas.errors import HeadAtlasError
from headatlas.pictures import turned, upright

AnswerType = Literal["yes_no", "choice", "number", "text"]
Split = Literal["train", "P", "S", "T", "E"]
Unit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


SHOWN = 8
"""Steps that `print(question)` shows."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join([type(self).__name__, *(str(part) for part in first["loc"])])
            message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            got = "" if ", got " in message or first["type"] == "missing" else f", got {first['input']!r:.60}"
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            raise HeadAtlasError(f"{field}: {message}{got}{more}") from error

    # Records inside records, and `model_validate`, are then validated without the method above: their errors name every field.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Box(_Record):
    """An axis-aligned box, XYXY, normalised to the image: 0 is left/top, 1 is right/bottom."""

    x0: Unit
    y0: Unit
    x1: Unit
    y1: Unit

    @model_validator(mode="after")
    def _ordered(self) -> Box:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"must have x0 < x1 and y0 < y1, got ({self.x0}, {self.y0}, {self.x1}, {self.y1})")
        return self

    def turned(self, orientation: int) -> Box:
        """This box, given in a picture's stored pixels, in the upright picture; `orientation` is its EXIF orientation, 1 to 8."""
        x0, y0, x1, y1 = turned((self.x0, self.y0, self.x1, self.y1), orientation)
        return Box(x0=x0, y0=y0, x1=x1, y1=y1)

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle, normalised."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


class SceneObject(_Record):
    """One thing in an image. Fields a source does not know are None."""

    id: Whole
    cls: str
    color: str | None = None
    size: str | None = None
    texture: str | None = None
    facing: str | None = None
    box: Box | None = None
    row: Whole | None = None
    column: Whole | None = None
    depth: Whole | None = None
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
            raise ValueError(f"must name each function once, got {functions}")
        return functions

    def __repr__(self) -> str:
        return f"<Step: {_short(self.text)} -> {_short(self.answer)} ({', '.join(self.functions)})>"

    __str__ = __repr__

    @property
    def function(self) -> str:
        """The primary function."""
        return self.functions[0]


class Question(_Record):
    """A CogVSR main question about one or more images, decomposed into steps; the last step's answer is the answer."""

    id: str = Field(min_length=1)
    source: str
    split: Split
    family: str = ""
    scene: str = ""
    """Questions with the same scene share their images, or show mirror images of them: a split never cuts a scene."""
    images: tuple[Image.Image, ...] = ()
    """Pictures as people see them, in RGB: EXIF orientation and transparency are applied to what is given."""
    text: str = Field(min_length=1)
    options: tuple[str, ...] = ()
    answer: str = Field(min_length=1)
    answer_type: AnswerType
    steps: tuple[Step, ...] = Field(min_length=1)
    objects: tuple[SceneObject, ...] = ()
    pair: str = ""
    """Id of the question this one is the minimal pair of; empty if it is not."""
    pair_kind: Literal["", "mirror", "swap"] = ""

    @field_validator("images")
    @classmethod
    def _upright(cls, images: tuple[Image.Image, ...]) -> tuple[Image.Image, ...]:
        return tuple(upright(image) for image in images)

    def __repr__(self) -> str:
        return f"<Question {self.id!r}: split {self.split}, images {len(self.images)}, steps {len(self.steps)}>"

    def __str__(self) -> str:
        """The question with its first steps, at most 12 lines."""
        lines = [repr(self)[1:-1], f"  {_short(self.text)} -> {_short(self.answer)}"]
        lines += [f"  {i}. {repr(step)[7:-1]}" for i, step in enumerate(self.steps[:SHOWN])]
        return "\n".join([*lines, f"  ... {len(self.steps) - SHOWN} more"] if len(self.steps) > SHOWN else lines)

    def turned(self, orientation: int) -> Question:
        """The question with every box turned from its picture's stored pixels to the upright picture.

        `orientation` is the EXIF orientation that the picture had, 1 to 8. For data whose boxes were made without looking at it.
        """
        objects = tuple(
            thing.model_copy(update={"box": thing.box.turned(orientation)}) if thing.box else thing
            for thing in self.objects
        )
        steps = tuple(
            step.model_copy(update={"boxes": tuple(box.turned(orientation) for box in step.boxes)})
            for step in self.steps
        )
        return self.model_copy(update={"objects": objects, "steps": steps})

    @model_validator(mode="after")
    def _ends_in_the_answer(self) -> Question:
        if self.steps[-1].answer != self.answer:
            raise ValueError(
                f"the last step's answer must be the question's, {self.answer[:60]!r}, got {self.steps[-1].answer[:60]!r}"
            )
        return self


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
