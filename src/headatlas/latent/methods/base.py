"""The protocol and the registry of activation methods: ways to make a model use its latent spatial heads.

A method is fitted on split P, tuned on split T, and then applied to a model for as long as a `with` block lasts:

    method = METHODS["gain"]()
    method.fit(inputs)
    method.tune(inputs)
    with method.applied(vlm) as arm:
        answers = evaluate(vlm, data.split("E"), arm=arm)

The model's weights are the same before and after the block, also after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from headatlas.cogvsr.functions import SPATIAL
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.latent.detectors import Detector, GroundTruth
from headatlas.printing import brief
from headatlas.progress import Progress
from headatlas.registry import Registry
from headatlas.scoring.base import ActivationsLike
from headatlas.vlm import evaluate

Shown = tuple[tuple[Image.Image, ...], str]
"""What a model is shown for a question: images, and a text before the question ("" for none)."""

ShowQuestion = Callable[[Question], Shown]
"""A way of showing a question, as `vlm.evaluate(arm=...)` takes it."""

Need = Literal["activations", "heads", "gradients", "attention", "detector", "wrong_answers"]
"""What a method needs: captured z, chosen heads, gradients through the model, attention that can be edited, places of things."""

Control = Literal["random_heads", "all_heads", "shuffled", "random_directions", "random_boxes", "image_twice"]
"""Ways to turn a method into a control of itself: fit it in as many random heads, in all heads, with gold answers or labels
exchanged between steps, along random directions of equal length, with boxes at random places, or with more images only."""

REFERENCE = ("all_heads",)
"""Controls that are reported beside a method but need not be beaten: all heads contain the chosen ones."""


@dataclass(frozen=True)
class MethodInputs:
    """What a method may be fitted and tuned on.

    Attributes:
        vlm: the model.
        data: the questions; methods use splits P (fit) and T (tune), never E.
        activations: captured z of all splits; None where only methods run that need none.
        heads: the heads to act on, by function; empty for methods on the input side.
        seed: of every random draw.
        detector: finds the things that a question is about.
        control: the control of itself that the method is fitted as; "" for the method. For `random_heads` and `all_heads` the
            heads are already in `heads`; the method carries out the other controls itself.
        n_fit: most questions of split P on which gradients are taken.
        batch_size: questions per batch.
        fit_batch: questions per batch where gradients are taken.
        progress: see `headatlas.progress`.
        shared: answers of the unchanged model to split T, kept for all methods and controls that are fitted from these inputs
            while the model and the data stay as they are; None: every method computes its own.
    """

    vlm: Any
    data: Any
    activations: ActivationsLike | None
    heads: dict[str, HeadSet]
    seed: int = 0
    detector: Detector = field(default_factory=GroundTruth)
    control: str = ""
    n_fit: int = 200
    batch_size: int = 16
    fit_batch: int = 8
    progress: Progress | None = None
    shared: dict[str, pd.DataFrame] | None = field(default=None, repr=False, compare=False)

    __repr__ = brief

    @property
    def spatial_heads(self) -> HeadSet:
        """The heads of both spatial functions."""
        return HeadSet(head for function in SPATIAL for head in self.heads.get(function, ()))

    @property
    def rng(self) -> np.random.Generator:
        """A generator that depends on `seed` alone."""
        return np.random.default_rng([self.seed, 15])

    def may_fit(self, shape: tuple[int, int]) -> Bool[np.ndarray, "L H"]:
        """A mask over the heads that a method may choose from: all, or those of the control `random_heads`."""
        if self.control == "random_heads":
            return self.spatial_heads.mask(shape)
        return np.ones(shape, dtype=bool)

    def captured(self) -> ActivationsLike:
        """The activations; `HeadAtlasError` if there are none."""
        if self.activations is None:
            raise HeadAtlasError("this method needs captured activations: pass activations=capture(vlm, data)")
        return self.activations

    def questions(self, split: str) -> list[Question]:
        """The questions of split P (at most `n_fit`) or T.

        Raises:
            HeadAtlasError: the split is empty, or it is one that nothing may be fitted on.
        """
        if split not in ("P", "T"):
            raise HeadAtlasError(f"methods are fitted on split P and tuned on split T, got {split!r}")
        chosen = list(self.data.split(split))
        if not chosen:
            raise HeadAtlasError(f"split {split!r} has no question: build or load the dataset with that split")
        if split == "P" and len(chosen) > self.n_fit:
            keep = sorted(self.rng.permutation(len(chosen))[: self.n_fit])
            chosen = [chosen[i] for i in keep]
        return chosen

    def bare_answers(self) -> pd.DataFrame:
        """Answers of the unchanged model to split T."""
        if self.shared is not None and "T" in self.shared:
            return self.shared["T"]
        answers = evaluate(self.vlm, self.questions("T"), batch_size=self.batch_size)
        if self.shared is not None:
            self.shared["T"] = answers
        return answers

    def report(self, what: str, done: int, total: int) -> None:
        """Report progress, where a callback was given."""
        if self.progress is not None:
            self.progress(what, done, total)


def heads_by(size: Float[Tensor, "L H"]) -> HeadSet:
    """The heads with a value above 0, the largest first."""
    ordered = [(float(size[layer, head]), -layer, -head) for layer, head in (size > 0).nonzero().tolist()]
    return HeadSet(Head(-layer, -head) for _, layer, head in sorted(ordered, reverse=True))


@dataclass(frozen=True)
class Cost:
    """What a method costs when it is applied.

    Attributes:
        images: images shown for each question, as a multiple of the original.
        parameters: numbers that were fitted or tuned.
    """

    images: float = 1.0
    parameters: int = 0


@dataclass(frozen=True)
class Strength:
    """One strength that was tried on split T.

    Attributes:
        value: the strength; 0 is the unchanged model.
        setting: what else was chosen with it, such as the layer; "" if nothing.
        accuracy: mean of both spatial functions' accuracies, 0..1.
        logprob: mean log-probability of the gold answers of spatial steps, nats.
        off_task: accuracy on all other steps.
        unparsable: share of unreadable answers.
        chosen: whether it was taken.
    """

    value: float
    accuracy: float
    logprob: float
    off_task: float
    unparsable: float
    chosen: bool = False
    setting: str = ""


@runtime_checkable
class Method(Protocol):
    """One way of activating latent heads.

    Methods may also have the attributes `needs` (a tuple of `Need`), `heads` (where it acts, a `HeadSet`), `strengths` (a list of
    `Strength`), `reason` (why it does nothing; "" where it does) and a method `recipe(vlm) -> HeadRecipe`.
    """

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that it is compared with, names of `Control`."""
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
"""Method classes by name. A new one is a class with `@method("name")` in a new file here, or in another package."""


def method(name: str) -> Callable[[Callable[[], Method]], Callable[[], Method]]:
    """Class decorator that registers a method under `name`; the class is called without arguments."""
    return METHODS.register(name)


def method_names(chosen: str | Iterable[str]) -> tuple[str, ...]:
    """Names of methods from `"all"`, `"none"`, a text such as `"gain,lora"`, or a list.

    Raises:
        HeadAtlasError: an unknown name.
    """
    names = [part.strip() for part in chosen.split(",") if part.strip()] if isinstance(chosen, str) else list(chosen)
    if names == ["all"]:
        return tuple(METHODS)
    if names == ["none"]:
        return ()
    for name in names:
        METHODS[name]
    return tuple(dict.fromkeys(names))
