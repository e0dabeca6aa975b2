"""What steps lose when sets of heads are ablated together, separated from the loss of the answers' form; and the backbone.

Damage is measured on the gold answer's log-probability *among valid answers*: its log-probability minus the log of the mass on
the first tokens of valid answers (`scoring.valid_answers`). A fall of that mass is *format* damage: the model no longer gives an
answer of this type, so its answer shows nothing about the function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from headatlas.cluster import Workers
from headatlas.engine.rerun import UnreadableScopeError
from headatlas.engine.sweep import sweep
from headatlas.heads import Head, HeadSet
from headatlas.intervention.operations import ablate
from headatlas.intervention.sharding import sweep_on_workers
from headatlas.scoring.base import ScoringInputs, UnscorableError, labels_of
from headatlas.scoring.redundancy import weighted_ridge
from headatlas.scoring.valid_answers import valid_tokens
from headatlas.vlm.chat import conversations
from headatlas.vlm.evaluate import evaluate

SHARES = (0.12, 0.25, 0.5)
CLIP = -8.0
"""Log-probabilities are clipped at this value, nats, so that very wrong answers do not dominate."""
SCREENS = 6
"""Random subsets for each head by which the backbone is found."""
BLOCKS = 8
"""Blocks of these subsets; without each of them the shares are computed again, which shows their standard error."""
GENERAL = 0.2
"""Nats that a head must cost the median function, in random subsets, to belong to the backbone."""
LEAST_FUNCTIONS = 3


@runtime_checkable
class Readings(Protocol):
    """What finding sets of heads needs: damage to some questions under ablated sets of heads, see `DamageReadings`."""

    inputs: Any
    table: Any

    def damage(self, masks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """By set of heads and step."""
        ...

    def joint(self, sets: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Mean damage to some steps by set of heads."""
        ...


class DamageReadings:
    """Damage to some questions under ablated sets of heads."""

    def __init__(
        self,
        inputs: ScoringInputs,
        questions: Sequence[Any],
        operation: str,
        means: Any,
        scope: str,
        batch_size: int,
        workers: Workers | None = None,
    ) -> None:
        self.inputs, self._operation, self._means, self._scope = inputs, operation, means, scope
        self._sweep = sweep if workers is None else partial(sweep_on_workers, workers)
        self._batch_size, self._heads = batch_size, inputs.vlm.heads.shape[1]
        self._chats = conversations(questions)
        self._valid = valid_tokens(inputs.vlm, questions, self._chats)
        self.table = evaluate(inputs.vlm, questions, batch_size=batch_size)

    def screened(self, masks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`damage` at the positions that predict answers, which costs a fraction; in the given scope where the model's blocks
        cannot be called for single positions."""
        masks = list(masks)
        if self._scope == "all":
            try:
                return self.damage(masks, "answer")
            except UnreadableScopeError:
                pass
        return self.damage(masks)

    def damage(
        self, masks: Iterable[np.ndarray], scope: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For each set of heads, `[R, N]` each: the damage among valid answers, the format damage (both nats), the remaining mass
        on valid answers, and the total damage to the gold answer (nats)."""
        sets = [head_set(mask, self._heads) for mask in masks]
        conditions = [[ablate(heads, self._operation, self._means)] if heads else [] for heads in sets]

        def report(what: str, done: int, total: int, /) -> None:
            self.inputs.report("multihead", done, total)

        result = self._sweep(
            self.inputs.vlm, self._chats, conditions, scope or self._scope, self._batch_size, report, self._valid
        )
        assert result.valid is not None
        left, before = result.valid[:-1], result.valid[-1]
        among = np.maximum(result.logprob - left, CLIP)
        return (
            np.maximum(result.bare[0] - before, CLIP)[None] - among,
            np.minimum(before[None] - left, -CLIP),
            np.exp(np.minimum(left, 0.0)),
            np.maximum(result.bare[0], CLIP)[None] - np.maximum(result.logprob, CLIP),
        )

    def joint(self, sets: Iterable[np.ndarray], rows: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " R"]:
        """The mean damage of each set of heads among valid answers, on some steps, weighted by the remaining mass, nats."""
        among, _, mass, _ = self.damage(sets)
        return (among * mass)[:, rows].sum(1) / np.maximum(mass[:, rows].sum(1), 1e-9)


def by_function(
    masks: Bool[np.ndarray, "R n"], damage: Float[np.ndarray, "R N"], labels: Bool[np.ndarray, "N F"], ridge: float
) -> Float[np.ndarray, "F n"]:
    """Each head's share of the mean damage to each function's steps; 0 for a function without steps."""
    counts = np.maximum(labels.sum(0), 1)
    means = damage @ labels / counts  # [R, F]
    return weighted_ridge(masks, means, np.ones_like(means), ridge).T


def check_functions(labels: Bool[np.ndarray, "N F"], scorer: str, where: str) -> None:
    """Raise unless heads that every step needs can be told from those of one function.

    Raises:
        UnscorableError: the steps have fewer than three functions.
    """
    if (n := int(labels.any(0).sum())) < LEAST_FUNCTIONS:
        raise UnscorableError(
            f"scorer {scorer!r} needs steps of at least {LEAST_FUNCTIONS} functions, to tell the heads of one function from "
            f"those that every step needs; {where} have {n}"
        )


@dataclass(frozen=True, eq=False)
class Screen:
    """What random subsets of all heads show, see `screen`.

    Attributes:
        backbone: numbers of the heads that every step needs, ascending.
        among: each head's share of the damage among valid answers to each function's steps, nats.
        format: the same of the format damage.
    """

    backbone: Int[np.ndarray, " b"]
    among: Float[np.ndarray, "F n"]
    format: Float[np.ndarray, "F n"]


def screen(
    readings: DamageReadings, rng: np.random.Generator, screens: int | None = None, ridge: float = 1.0
) -> Screen:
    """Ablate random subsets of all heads: find the heads that every step needs, and each head's share of the damage.

    Random subsets of all heads (each head with probability 0.12, 0.25 or 0.5) are ablated where answers are predicted, and ridge
    regressions give each head's share of the total damage to each function. Heads whose share for the *median* function, less
    its standard error, is `GENERAL` or more are the backbone.

    Args:
        readings: of some questions.
        rng: draws the subsets.
        screens: how many, by default six per head.
        ridge: penalty on the squared shares.
    """
    layers, heads = readings.inputs.vlm.heads.shape
    n = layers * heads
    screens = max(24, SCREENS * n) if screens is None else screens
    labels = labels_of(readings.table)
    masks = rng.random((screens, n)) < np.resize(SHARES, screens)[:, None]
    among, lost, _, whole = readings.screened(masks)
    there = labels.any(0)

    def median(kept: Int[np.ndarray, " r"]) -> Float[np.ndarray, " n"]:
        return np.median(by_function(masks[kept], whole[kept], labels, ridge)[there], axis=0)

    without = [np.setdiff1d(np.arange(screens), block) for block in np.array_split(rng.permutation(screens), BLOCKS)]
    jackknife = np.stack([median(kept) for kept in without])
    error = np.sqrt((BLOCKS - 1) * jackknife.var(0))
    backbone = np.flatnonzero(median(np.arange(screens)) - error >= GENERAL)
    of_among, of_format = (by_function(masks, each, labels, ridge) for each in (among, lost))
    return Screen(backbone, of_among, of_format)


def head_set(chosen: np.ndarray, heads: int) -> HeadSet:
    """A head set from a mask over all heads, or from their numbers."""
    numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return HeadSet(head_number(int(i), heads) for i in numbers)


def head_number(number: int, heads: int) -> Head:
    """The head with this number, counted layer by layer from 0."""
    return Head(int(number) // heads, int(number) % heads)
