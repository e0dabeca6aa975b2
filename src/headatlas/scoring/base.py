"""What every scorer takes and returns, and the registry of scorers.

Axes: F functions, L layers, H query heads, D d_head, N steps, R repeats of a null, M pairs of a step and a function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from headatlas.activations.store import ActivationsLike
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Tower
from headatlas.progress import Progress
from headatlas.registry import Registry, near


class UnscorableError(HeadAtlasError):
    """A scorer needs something that the data or the model lack, such as boxes. A study leaves such a scorer out."""


@dataclass(frozen=True, repr=False)
class ScoringInputs:
    """The inputs of a scorer.

    `tokens`: the token selection whose z is scored. `fit`: the split on which probes are fitted. `on`: the split on which heads
    are scored. `vlm`, `data`: only causal scorers need them. `n_null`: repeats of the null, None for the scorer's default.
    Raises `HeadAtlasError` if `on` is the split that heads are evaluated on, or the same as `fit`.
    """

    activations: ActivationsLike
    tokens: str = "gold"
    fit: str = "P"
    on: str = "S"
    vlm: Any = None
    data: Any = None
    seed: int = 0
    n_null: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.fit == self.on:
            raise HeadAtlasError(
                f"splits to fit and to score on must differ, got {self.fit!r} for both; use fit='P', on='S'"
            )
        if "E" in (self.fit, self.on):
            raise HeadAtlasError(
                f"split E is for the last evaluation only, got fit={self.fit!r}, on={self.on!r}; use fit='P', on='S'"
            )
        if self.n_null is not None and self.n_null < 0:
            raise HeadAtlasError(f"n_null must be >= 0, got {self.n_null}")

    def __repr__(self) -> str:
        splits = ", ".join(f"{k} {n}" for k, n in self.activations.steps["split"].value_counts(sort=False).items())
        model = getattr(self.vlm, "name", None) or "no model"
        return (
            f"ScoringInputs: tokens {self.tokens!r}, fit on {self.fit}, score on {self.on}, seed {self.seed}, {model}\n"
            f"  steps by split: {splits}"
        )

    @property
    def functions(self) -> tuple[str, ...]:
        """The names along axis F."""
        return FUNCTIONS

    def rows(self, split: str) -> Int[np.ndarray, " N"]:
        """Row numbers of a split in `activations.steps`, ascending. Raises `HeadAtlasError` when there is none."""
        splits = self.activations.steps["split"].to_numpy()
        rows = np.flatnonzero(splits == split)
        if not len(rows):
            captured = ", ".join(sorted({str(name) for name in splits})) or "none"
            raise HeadAtlasError(
                f"no step of split {split!r} was captured (captured splits: {captured}); capture it, then score"
            )
        return rows

    def steps(self, split: str) -> pd.DataFrame:
        """The answers table of one split, index 0..N-1, with `text_of_step` where the data have it."""
        steps = self.activations.steps.iloc[self.rows(split)].reset_index(drop=True)
        if self.data is not None and "text_of_step" not in steps:
            texts = self.data.steps()[["question", "step", "text_of_step"]]
            steps = steps.merge(texts, on=["question", "step"], how="left", validate="one_to_one")
        return steps

    def z(self, split: str) -> Float32[np.ndarray, "N L H D"]:
        """z of one split, in the order of `steps(split)`. Raises `HeadAtlasError` for tokens not captured."""
        captured = tuple(self.activations.tokens)
        if self.tokens not in captured:
            raise HeadAtlasError(
                f"token selection must be one of those captured ({', '.join(captured)}), got {self.tokens!r}"
            )
        return np.asarray(self.activations.z(self.tokens, self.rows(split)), dtype=np.float32)

    def labels(self, split: str) -> Bool[np.ndarray, "N F"]:
        """The functions that each step of a split needs (one or more), as bool."""
        return labels_of(self.activations.steps.iloc[self.rows(split)])

    @property
    def tower(self) -> Tower:
        """The tower whose activations are scored."""
        return getattr(self.activations, "tower", "L")

    def only_language(self, scorer: str) -> None:
        """Raise `HeadAtlasError` unless the activations are of the language model."""
        if self.tower != "L":
            raise HeadAtlasError(
                f"scorer {scorer!r} scores heads of the language model, got activations of tower {self.tower}; use 'ablation' "
                "or 'specificity'"
            )

    def report(self, what: str, done: int, total: int) -> None:
        """Report progress, where a callback was given."""
        if self.progress is not None:
            self.progress(what, done, total)


def check_contrast(inputs: ScoringInputs, scorer: str, *, within_scene: bool = False) -> None:
    """Raise, before anything is computed, if all steps have the same functions, as when all questions are one task.

    Args:
        inputs: of the scorer.
        scorer: its name, for the message.
        within_scene: whether steps are compared with other steps about the same scene only.

    Raises:
        UnscorableError: every step of the split fitted on or of the split scored has the same functions; or, with
            `within_scene`, the steps of each scene of the split scored have.
    """
    for split in (inputs.fit, inputs.on):
        labels = inputs.labels(split)
        if (labels == labels[0]).all():
            raise UnscorableError(
                f"{scorer!r} compares steps of different functions, and all steps of split {split} have the same"
            )
    if within_scene:
        scene = scenes_of(inputs.activations.steps)[inputs.rows(inputs.on)]
        if not pd.DataFrame(inputs.labels(inputs.on)).groupby(scene).nunique().gt(1).any(axis=None):
            raise UnscorableError(
                f"{scorer!r} compares steps about one picture that need different functions, and no picture of split {inputs.on} "
                "has such steps"
            )


def labels_of(steps: pd.DataFrame) -> Bool[np.ndarray, "N F"]:
    """Labels from the column `functions` ("|"-joined names). Raises `HeadAtlasError` for an unknown function."""
    column = {name: i for i, name in enumerate(FUNCTIONS)}
    labels = np.zeros((len(steps), len(FUNCTIONS)), dtype=bool)
    for row, joined in enumerate(steps["functions"]):
        for name in str(joined).split("|"):
            if name not in column:
                raise HeadAtlasError(
                    f"cognitive function must be one of {', '.join(FUNCTIONS)}; got {name!r} in step {row}"
                )
            labels[row, column[name]] = True
    return labels


@dataclass(frozen=True, repr=False)
class PerSample:
    """The values whose mean is a score: one row for every pair of a step and a function that it needs.

    The mean of `values` over the rows of function c is `Scores.values[c]`. `function` indexes axis F, `cluster` numbers
    the scene. With it the sampling error of any quantity computed from scores is bootstrapped without scoring again.
    """

    values: Float[np.ndarray, "M L H"]
    function: Int[np.ndarray, " M"]
    cluster: Int[np.ndarray, " M"]

    def __repr__(self) -> str:
        pairs, layers, heads = self.values.shape
        return f"PerSample: {pairs} pairs of a step and a function x {layers} layers x {heads} heads"

    def mean(self, n_functions: int = len(FUNCTIONS)) -> Float[np.ndarray, "F L H"]:
        """Mean over the rows of each function; 0 for a function without rows."""
        out = np.zeros((n_functions, *self.values.shape[1:]))
        for c in range(n_functions):
            rows = self.function == c
            if rows.any():
                out[c] = self.values[rows].mean(0)
        return out


@dataclass(frozen=True, repr=False)
class Scores:
    """One scorer's scores: higher is more important for the function; the unit is the scorer's own.

    `null`: the scores under permuted labels, R times. `pvalues`: one-sided, before any correction for multiplicity.
    `info`: settings and results that JSON can hold. `arrays`: further arrays, named in the scorer's docstring.
    A function without steps in the split scored has scores 0 and p 1, and is named in `info["absent"]`.
    """

    name: str
    values: Float[np.ndarray, "F L H"]
    null: Float[np.ndarray, "R F L H"] | None = None
    pvalues: Float[np.ndarray, "F L H"] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    per_sample: PerSample | None = None
    tower: Tower = "L"
    """Whose heads: axes L and H are those of this tower."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or len(self.values) != len(FUNCTIONS):
            raise HeadAtlasError(
                f"scores of {self.name!r} must have shape ({len(FUNCTIONS)} functions, layers, heads), got {self.values.shape}"
            )
        if not np.isfinite(self.values).all():
            raise HeadAtlasError(
                f"scores of {self.name!r} must be finite, got {int((~np.isfinite(self.values)).sum())} that are not"
            )
        if self.pvalues is not None:
            if self.pvalues.shape != self.values.shape:
                raise HeadAtlasError(
                    f"p-values of {self.name!r} must have the shape of the scores {self.values.shape}, got {self.pvalues.shape}"
                )
            if not ((self.pvalues >= 0) & (self.pvalues <= 1)).all():
                raise HeadAtlasError(f"p-values of {self.name!r} must be in 0..1, got others (NaN counts as such)")

    def __repr__(self) -> str:
        layers, heads = self.shape
        lines = [f"Scores {self.name!r}: {len(self.values)} functions x {layers} layers x {heads} heads"]
        for name, grid in zip(FUNCTIONS, self.values, strict=True):
            layer, head = np.unravel_index(grid.argmax(), grid.shape)
            lines.append(
                f"  {name:24s} highest {grid.max():.4g} at {self.tower}{layer}.H{head}, mean {grid.mean():.4g}"
            )
        extra = [part for part in ("null", "pvalues", "per_sample") if getattr(self, part) is not None]
        return "\n".join([*lines, f"  with {', '.join(extra) or 'no null, p-values or per-step scores'}"])

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H)."""
        return self.values.shape[1], self.values.shape[2]

    def of(self, function: str) -> Float[np.ndarray, "L H"]:
        """Scores of one function by name."""
        return self.values[function_index(function)]


def function_index(name: str) -> int:
    """Index of a function along axis F. Raises `HeadAtlasError` for an unknown name."""
    if name not in FUNCTIONS:
        raise HeadAtlasError(
            f"cognitive function must be one of {', '.join(FUNCTIONS)}; got {name!r}{near(name, FUNCTIONS)}"
        )
    return FUNCTIONS.index(name)


@dataclass(frozen=True, repr=False)
class Scorer:
    """A registered scorer; called as `scorer(inputs, **options) -> Scores`.

    Attributes:
        name: as users write it.
        function: the scorer itself.
        title: its name in running text, such as "the linear probe".
        label: its name in tables and legends, such as "Linear probe (A2)".
        description: how it scores, in one sentence.
        unit: of its scores; "" if they have none.
        least: the least effect, in that unit, of a functional head; 0: no least effect.
        twin: whether a study also scores the untrained twin, above which heads must score.
    """

    name: str
    function: Callable[..., Scores]
    title: str
    label: str
    description: str
    unit: str = ""
    least: float = 0.0
    twin: bool = True

    def __repr__(self) -> str:
        return f"<Scorer {self.name!r}: {self.label}>"

    def taken(self, **offered: Any) -> dict[str, Any]:
        """Those of the options that the scorer's function has a parameter for."""
        parameters = inspect.signature(self.function).parameters
        return {name: value for name, value in offered.items() if name in parameters}

    def __call__(self, inputs: ScoringInputs, **options: Any) -> Scores:
        """Score every head for every function. Raises `HeadAtlasError` if the scorer's function returns anything but `Scores`."""
        scored = self.function(inputs, **options)
        if not isinstance(scored, Scores):
            raise HeadAtlasError(f"scorer {self.name!r} must return Scores, got a {type(scored).__name__}")
        return scored


SCORERS: Registry[Scorer] = Registry("scorer", ("headatlas.scoring.*",), of=Scorer)
"""All scorers by name. A new one is a function with `@scorer("name")` in a new file here, or in another package."""


def scorer(
    name: str,
    *,
    title: str = "",
    label: str = "",
    description: str = "",
    unit: str = "",
    least: float = 0.0,
    twin: bool = True,
) -> Callable[[Callable[..., Scores]], Callable[..., Scores]]:
    """Decorator that registers a function `f(inputs: ScoringInputs, **options) -> Scores` as a scorer.

    Args:
        name: as users write it.
        title, label, description, unit, least, twin: see `Scorer`; by default the name, and the first sentence of the docstring.
    """

    def register(function: Callable[..., Scores]) -> Callable[..., Scores]:
        words = " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())
        sentence = description or words.split(". ")[0].rstrip(".") + "." if description or words else name
        shown = label or name.replace("_", " ").capitalize()
        SCORERS.add(name, Scorer(name, function, title or f"the scorer {name}", shown, sentence, unit, least, twin))
        return function

    return register


def scorers() -> tuple[str, ...]:
    """Names of all scorers."""
    return tuple(SCORERS)


def get_scorer(name: str) -> Scorer:
    """The scorer registered under `name`. Raises `HeadAtlasError` naming those there are."""
    return SCORERS[name]
