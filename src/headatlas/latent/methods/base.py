"""The protocol and the registry of activation methods: ways to make a model use its latent spatial heads.

A method is fitted on split P, tuned on split T, and then applied to a model for as long as a `with` block lasts:

    method = METHODS["sha"]()
    method.fit(inputs)
    method.tune(inputs)
    with method.applied(vlm) as arm:
        answers = evaluate(vlm, data.split("E"), arm=arm)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from headatlas.cogvsr.schema import Question
from headatlas.heads import HeadSet
from headatlas.registry import Registry
from headatlas.scoring.base import ActivationsLike

Shown = tuple[tuple[Image.Image, ...], str]
"""What a model is shown of a question: images, and a text that precedes it ("" for none)."""

ShowQuestion = Callable[[Question], Shown]
"""A way of showing a question, as `vlm.evaluate(arm=...)` takes it."""


@dataclass(frozen=True)
class MethodInputs:
    """What a method may be fitted and tuned on.

    Attributes:
        vlm: the model.
        data: the questions; methods use splits P (fit) and T (tune), never E.
        activations: captured z of all splits.
        heads: the heads to act on, by function; empty for methods on the input side.
        seed: of every random draw.
    """

    vlm: Any
    data: Any
    activations: ActivationsLike
    heads: dict[str, HeadSet]
    seed: int = 0


@dataclass(frozen=True)
class Cost:
    """What a method costs when it is applied.

    Attributes:
        images: images shown for each question, as a multiple of the original.
        parameters: numbers that were fitted.
    """

    images: float = 1.0
    parameters: int = 0


@runtime_checkable
class Method(Protocol):
    """One way of activating latent heads."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def control(self) -> str:
        """The arm or method that it is compared with in results/activation.csv; "" for none."""
        ...

    @property
    def cost(self) -> Cost:
        """What it costs when it is applied."""
        ...

    def fit(self, inputs: MethodInputs) -> None:
        """Estimate what it needs on split P."""
        ...

    def tune(self, inputs: MethodInputs) -> None:
        """Choose its strength on split T."""
        ...

    def applied(self, vlm: Any) -> AbstractContextManager[ShowQuestion | None]:
        """Apply it to `vlm` inside a `with` block, which gives the way of showing questions; None for the usual way."""
        ...


METHODS: Registry[Callable[[], Method]] = Registry("method", ("headatlas.latent.methods.*",))
"""Makers of methods by name. A new one is a class with `@method("name")` in a new file here, or in another package."""


def method(name: str) -> Callable[[Callable[[], Method]], Callable[[], Method]]:
    """Class decorator that registers a method under `name`; the class is called without arguments."""
    return METHODS.register(name)
