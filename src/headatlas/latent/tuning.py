"""Choose the strength of a method on split T by the spatial score minus the loss on other steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.intervention.effects import of_function, spatial
from headatlas.latent.methods.base import MethodInputs, Strength
from headatlas.vlm import evaluate


def tune_strength(
    method: Any,
    inputs: MethodInputs,
    strengths: Sequence[Any],
    use: Callable[[Any], None],
    values: Sequence[float] = (),
    settings: Sequence[str] = (),
) -> None:
    """Try strengths on split T, and use the best; 0, the unchanged model, is always among them.

    The best has the highest (spatial score + change on other steps where that is negative); ties go to the higher
    log-probability of the gold answers, then to the first.

    Args:
        method: a `Method`, applied with each strength; its attributes `strengths` (a row for each) and `reason` are set.
        inputs: of which split T is used.
        strengths: tried in this order, the weakest first.
        use: called with a strength, or None for the unchanged model; sets it.
        values: the strengths as numbers for the table, if they are not numbers themselves.
        settings: what else belongs to each strength, such as the layer, for the table.
    """
    questions = inputs.questions("T")
    tried: list[Any] = [None]
    rows = [_row(0.0, inputs.bare_answers())]
    for i, strength in enumerate(strengths):
        use(strength)
        with method.applied(inputs.vlm) as arm:
            answers = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size, arm=arm)
        tried.append(strength)
        rows.append(_row(float(values[i] if values else strength), answers, settings[i] if settings else ""))
        inputs.report(f"tune {method.name}", i + 1, len(strengths))
    worth = [(row.accuracy + min(0.0, row.off_task - rows[0].off_task), row.logprob) for row in rows]
    best = max(range(len(rows)), key=lambda i: (round(worth[i][0], 9), worth[i][1], -i))
    use(tried[best])
    rows[best] = replace(rows[best], chosen=True)
    method.strengths, method.reason = rows, "" if best else "no strength gains on split T"


def spatial_score(table: pd.DataFrame) -> float:
    """Mean over the spatial functions that have steps of the share of right steps, 0..1; NaN if neither has."""
    right = table["correct"].to_numpy(float)
    parts = [right[rows].mean() for function in SPATIAL if (rows := of_function(table, function)).any()]
    return float(np.mean(parts)) if parts else float("nan")


def _row(value: float, table: pd.DataFrame, setting: str = "") -> Strength:
    on = spatial(table)
    return Strength(
        value,
        spatial_score(table),
        float(table["logprob"].to_numpy(float)[on].mean()) if on.any() else float("nan"),
        float(table["correct"].to_numpy(float)[~on].mean()) if (~on).any() else float("nan"),
        float(table["unparsable"].to_numpy(float).mean()),
        setting=setting,
    )
