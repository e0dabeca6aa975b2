"""Requests of the page as pydantic models: every field has a limit, and no text becomes a path."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from headatlas.scenes.world import CELLS, CLASSES, COLORS, DEPTHS, DIRECTIONS, FRONTED, PLACES, SIZES, TEXTURES

MOST_HEADS = 20_000
"""The most heads of one change; no model has more."""
MOST_CHANGES = 24

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
HeadName = Annotated[str, StringConstraints(pattern=r"^[LX]\d{1,3}\.H\d{1,3}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SceneThing(_Record):
    """One thing of a drawn scene."""

    cls: Literal[CLASSES]  # type: ignore[valid-type]
    color: Literal[COLORS]  # type: ignore[valid-type]
    row: int = Field(ge=1, le=CELLS)
    column: int = Field(ge=1, le=CELLS)
    facing: Literal[DIRECTIONS] = "right"  # type: ignore[valid-type]
    texture: Literal[TEXTURES] = "plain"  # type: ignore[valid-type]
    size: Literal[SIZES] = "large"  # type: ignore[valid-type]
    depth: int = Field(default=0, ge=0, lt=len(DEPTHS))

    @property
    def faces(self) -> str | None:
        """Its direction, None for a shape."""
        return self.facing if self.cls in FRONTED else None


class DrawnScene(_Record):
    """A scene drawn on the page."""

    things: tuple[SceneThing, ...] = Field(min_length=1, max_length=12)
    place: Literal[PLACES] = "meadow"  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _apart(self) -> DrawnScene:
        if len({(thing.row, thing.column) for thing in self.things}) < len(self.things):
            raise ValueError("every cell must hold one thing at most")
        if len({(thing.color, thing.cls) for thing in self.things}) < len(self.things):
            raise ValueError("no two things may have the same color and kind, so that a question names one of them")
        return self


class Picture(_Record):
    """Which picture: one of the data's, a random scene, a drawn one, or an uploaded one. Exactly one is given."""

    example: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    scene: DrawnScene | None = None
    upload: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Picture:
        if sum(value is not None for value in (self.example, self.seed, self.scene, self.upload)) != 1:
            raise ValueError("exactly one of example, seed, scene and upload must be given")
        return self


class Asked(_Record):
    """A question about a picture. With `step` it is that step of the data's question, asked after the steps before it."""

    picture: Picture
    question: Text
    step: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _step(self) -> Asked:
        if self.step is not None and self.picture.example is None:
            raise ValueError("a step belongs to one of the data's questions")
        return self


class Change(_Record):
    """One change of the mixer."""

    kind: Literal["silence", "scale", "steer", "gaze", "knockout", "recipe"]
    heads: tuple[HeadName, ...] = Field(default=(), max_length=MOST_HEADS)
    """Which heads; a recipe has its own, and these are those that the page shows."""
    factor: float = Field(default=0.0, ge=-10, le=10, allow_inf_nan=False)
    """Of `scale`."""
    beta: float = Field(default=3.0, ge=-20, le=20, allow_inf_nan=False)
    """Of `gaze`: added to the attention logits of the box, taken off those of the other image tokens."""
    box: tuple[Share, Share, Share, Share] | None = None
    """Of `gaze`: x0, y0, x1, y1 of the picture."""
    alpha: float = Field(default=1.0, ge=-20, le=20, allow_inf_nan=False)
    """Of `steer`: standard deviations along the direction."""
    function: str = Field(default="", max_length=60)
    """Of `steer`: the function whose direction from wrong to right is taken."""
    recipe: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None
    """Of `recipe`: its fingerprint."""
    scope: Literal["all", "answer"] = "all"
    """Where the change is made; a recipe has its own."""

    @model_validator(mode="after")
    def _complete(self) -> Change:
        if self.kind == "recipe":
            if self.recipe is None:
                raise ValueError("a change by a recipe needs the recipe's fingerprint")
        elif not self.heads:
            raise ValueError("a change needs a head")
        if self.kind == "gaze":
            if self.box is None or not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
                raise ValueError("a gaze needs a box of the picture, with x0 < x1 and y0 < y1")
            if any(not head.startswith("L") for head in self.heads):
                raise ValueError("a gaze needs heads of the language model (L)")
        return self


class Upload(_Record):
    """A picture from the user's machine, base64."""

    name: Annotated[str, StringConstraints(max_length=200)] = "picture"
    data: Annotated[str, StringConstraints(max_length=24 * 2**20)]


class RecipeFiles(_Record):
    """The files of a head recipe from the user's machine."""

    name: Annotated[str, StringConstraints(max_length=200)] = "recipe"
    """What its folder is called."""
    record: Annotated[str, StringConstraints(max_length=4 * 2**20)]
    """The text of recipe.json."""
    tensors: Annotated[str, StringConstraints(max_length=24 * 2**20)]
    """recipe.safetensors, base64."""


class JobRequest(_Record):
    """Work for the model."""

    kind: Literal["ask", "effects", "groups", "attention", "writes", "examples", "mix"]
    asked: Asked
    head: HeadName | None = None
    """Of `writes` and `examples`."""
    position: int | None = Field(default=None, ge=0)
    """Of `attention`: the token that looks; None: the one that begins the answer."""
    changes: tuple[Change, ...] = Field(default=(), max_length=MOST_CHANGES)
    """For `mix` and `attention`: the active changes."""

    @model_validator(mode="after")
    def _complete(self) -> JobRequest:
        if self.kind in ("writes", "examples") and self.head is None:
            raise ValueError(f"{self.kind} needs a head")
        if self.kind == "mix" and not self.changes:
            raise ValueError("a mix needs a change")
        return self
