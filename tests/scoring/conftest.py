"""Activations in memory with heads planted for each function: the ground truth that scorers are graded against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.scoring import Scores, ScoringInputs, get_scorer

SHARES = (0.27, 0.15, 0.12, 0.1, 0.1, 0.08, 0.08, 0.1)
ANSWERS = {"yes_no": ("yes", "no"), "choice": ("left", "right", "red"), "number": ("1", "2", "3")}


@dataclass
class Memory:
    """What scorers read of `headatlas.activations.Activations`."""

    steps: pd.DataFrame
    array: np.ndarray  # float32 [N, L, H, D]
    tokens: tuple[str, ...] = ("gold",)

    @property
    def shape(self):
        return self.array.shape

    def z(self, tokens, rows=None):
        assert tokens in self.tokens
        return self.array if rows is None else self.array[rows]


def make_planted(
    n_questions: int = 200,
    shape: tuple[int, int] = (4, 6),
    size: int = 8,
    per_function: int = 2,
    strength: float = 1.0,
    multi: bool = False,
    seed: int = 0,
) -> tuple[Memory, np.ndarray]:
    """Activations and the truth, bool [F, L, H].

    Half of the questions are split P, three tenths S, a tenth T and E each; five steps per question. Every head also
    carries the answer's type and its question's own noise, which no scorer may take for a function.
    """
    rng = np.random.default_rng(seed)
    n = n_questions * 5
    question = np.repeat(np.arange(n_questions), 5)
    primary = rng.choice(len(FUNCTIONS), size=n, p=SHARES)
    labels = np.eye(len(FUNCTIONS), dtype=bool)[primary]
    if multi:
        more = rng.choice(len(FUNCTIONS), size=n)
        labels[np.arange(n), more] |= rng.random(n) < 0.3
    types = rng.choice(list(ANSWERS), size=n)
    split = np.repeat(["P"] * 5 + ["S"] * 3 + ["T", "E"], -(-n_questions // 10))[:n_questions][question]
    steps = pd.DataFrame(
        {
            "question": [f"q{q}" for q in question],
            "step": np.tile(np.arange(5), n_questions),
            "n_steps": 5,
            "split": split,
            "family": "planted",
            "scene": [f"s{q}" for q in question],
            "source": np.where(question % 2 == 0, "a", "b"),
            "kind": "planted",
            "function": [FUNCTIONS[c] for c in primary],
            "functions": ["|".join(FUNCTIONS[c] for c in np.flatnonzero(row)) for row in labels],
            "answer_type": types,
            "gold": [ANSWERS[kind][i] for kind, i in zip(types, rng.integers(0, 2, size=n), strict=True)],
            "correct": rng.random(n) < 0.8,
        }
    )
    heads = shape[0] * shape[1]
    z = rng.normal(size=(n, heads, size))
    z += rng.normal(size=(n_questions, heads, size))[question] * 0.5
    z += rng.normal(size=(len(ANSWERS), heads, size))[np.searchsorted(sorted(ANSWERS), types)] * 0.5
    truth = np.zeros((len(FUNCTIONS), heads), dtype=bool)
    if strength:
        for c in range(len(FUNCTIONS)):
            for head in rng.choice(heads, size=per_function, replace=False):
                truth[c, head] = True
                direction = rng.normal(size=size)
                direction *= 2.5 * strength / np.linalg.norm(direction)
                z[labels[:, c], head] += direction
    z += rng.normal(size=(1, heads, size)) * 2  # heads have means of their own
    array = z.reshape(n, *shape, size).astype(np.float32)
    return Memory(steps, array), truth.reshape(len(FUNCTIONS), *shape)


@pytest.fixture(scope="session")
def planted():
    """`planted(**options) -> (activations, truth)`."""
    return make_planted


@pytest.fixture(scope="session")
def world():
    """Single-label activations, one head per function: 8 of 24 heads, and the truth bool [F, L, H]."""
    return make_planted(per_function=1)


@pytest.fixture(scope="session")
def noise():
    """Activations whose heads know the answer's type and nothing of functions."""
    return make_planted(strength=0.0)[0]


@pytest.fixture(scope="session")
def paper_scores(world) -> Scores:
    return get_scorer("paper")(ScoringInputs(world[0]), max_epochs=10)


@pytest.fixture(scope="session")
def linear_scores(world) -> Scores:
    return get_scorer("linear")(ScoringInputs(world[0]))


@pytest.fixture(scope="session")
def noise_scores(noise) -> dict[str, Scores]:
    inputs = ScoringInputs(noise)
    return {
        "paper": get_scorer("paper")(inputs, epochs=3, seeds=2, probe_splits=()),
        "linear": get_scorer("linear")(inputs),
    }


@pytest.fixture
def scores_of():
    """`scores_of(values, **fields) -> Scores` from bare numbers."""
    return lambda values, name="made", **fields: Scores(name=name, values=np.asarray(values, dtype=float), **fields)
