"""Surface features of a step (length, index, answer type, words), from which its function can partly be guessed.

The design matrix is fitted (vocabulary, scaling) on one split and applied to others. Kinds: `answer_length` (words and
characters of the gold answer), `step` (index, one-hot, and how many steps), `answer_type` (one-hot), `answer_words` and
`step_words` (bags of words of the gold answer and of the step's own text, where the table has it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from headatlas.errors import HeadAtlasError
from headatlas.registry import near

KINDS = ("answer_length", "step", "answer_type", "answer_words", "step_words")
ANSWER = ("answer_length", "step", "answer_type", "answer_words")
_TEXT_COLUMNS = ("step_text", "text_of_step")


def text_column(steps: pd.DataFrame) -> str | None:
    """Name of the column that holds the step's own text (not the answer), if the table has one."""
    return next((name for name in _TEXT_COLUMNS if name in steps), None)


@dataclass(frozen=True)
class Surface:
    """A fitted design: call it with a table to get float64 [N, K], standardised on the split it was fitted on."""

    kinds: tuple[str, ...]
    bags: dict[str, CountVectorizer]
    answer_types: tuple[str, ...]
    max_step: int
    centre: Float[np.ndarray, " K"]
    spread: Float[np.ndarray, " K"]

    def __call__(self, steps: pd.DataFrame) -> Float[np.ndarray, "N K"]:
        """Return the design matrix of these steps."""
        return (_raw(self, steps) - self.centre) / self.spread


def fit_surface(steps: pd.DataFrame, kinds: Sequence[str] = ANSWER, max_words: int = 300) -> Surface:
    """Fit the design on `steps`. `step_words` is left out when the table has no step text. Raises for unknown kinds."""
    for kind in kinds:
        if kind not in KINDS:
            raise HeadAtlasError(
                f"surface confounds must be some of {', '.join(KINDS)}; got {kind!r}{near(kind, KINDS)}"
            )
    column = text_column(steps)
    chosen = tuple(kind for kind in KINDS if kind in kinds and (kind != "step_words" or column is not None))
    bags: dict[str, CountVectorizer] = {}
    for kind, source in (("answer_words", "gold"), ("step_words", column)):
        if kind in chosen and source is not None:
            bag = CountVectorizer(binary=True, max_features=max_words, token_pattern=r"(?u)\b\w+\b")
            texts = steps[source].astype(str)
            if texts.str.contains(r"\w").any():
                bags[source] = bag.fit(texts)
    types = tuple(sorted(steps["answer_type"].astype(str).unique()))
    blank = Surface(chosen, bags, types, int(steps["step"].max()), np.zeros(0), np.zeros(0))
    raw = _raw(blank, steps)
    spread = raw.std(0)
    return Surface(chosen, bags, types, blank.max_step, raw.mean(0), np.where(spread > 0, spread, 1.0))


def _raw(surface: Surface, steps: pd.DataFrame) -> np.ndarray:
    gold = steps["gold"].astype(str)
    columns: list[np.ndarray] = []
    if "answer_length" in surface.kinds:
        columns += [gold.str.split().str.len().to_numpy(float)[:, None], gold.str.len().to_numpy(float)[:, None]]
    if "step" in surface.kinds:
        index = np.minimum(steps["step"].to_numpy(int), surface.max_step)
        columns.append(np.eye(surface.max_step + 1)[index])
        if "n_steps" in steps:
            # Distance from the end: the last step is nearly always a decision.
            columns.append((steps["n_steps"].to_numpy(int) - steps["step"].to_numpy(int) == 1).astype(float)[:, None])
    if "answer_type" in surface.kinds:
        kinds = steps["answer_type"].astype(str).to_numpy()
        columns.append((kinds[:, None] == np.array(surface.answer_types)[None]).astype(float))
    for source, bag in surface.bags.items():
        columns.append(np.asarray(bag.transform(steps[source].astype(str)).todense(), dtype=float))
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(steps), 0))


def text_only_scores(
    fit: pd.DataFrame, labels: Bool[np.ndarray, "N F"], on: pd.DataFrame, kinds: Sequence[str] = KINDS
) -> Float[np.ndarray, "M F"]:
    """Log-odds of each function from the surface alone (one-vs-rest logistic regression), for the steps of `on`.

    A function that none or all of the steps of `fit` need gets 0.
    """
    surface = fit_surface(fit, kinds)
    before, after = surface(fit), surface(on)
    out = np.zeros((len(on), labels.shape[1]))
    if not before.shape[1]:
        return out
    for c in range(labels.shape[1]):
        if 0 < labels[:, c].sum() < len(labels):
            model = LogisticRegression(C=0.1, max_iter=2000).fit(before, labels[:, c])
            out[:, c] = model.decision_function(after)
    return out
