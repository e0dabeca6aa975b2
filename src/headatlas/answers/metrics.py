"""Score an answers table: accuracy, the Spatial Score and its variants.

The columns of the answers table are listed in docs/architecture.md. Intervals are 95 % cluster bootstraps over scenes, because
questions about one picture are not independent. Accuracies are in 0..1; the Spatial Scores are in 0..100.

A step that needs several functions counts once, for its *primary* function, so that no step enters a Spatial Score twice.
`accuracy_by(answers, "functions")` counts it for each of its functions.

The optional columns `options` (tuples, or joined by "|") and `chance` (0..1) make the chance correction more exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from headatlas import stats
from headatlas.cogvsr.functions import SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.stats import Estimate

KEYS = ["question", "step"]
_NEEDED = ("question", "step", "n_steps", "scene", "source", "function", "correct")


def scenes_of(table: pd.DataFrame) -> np.ndarray:
    """The scene of every step, the independent unit of all tests; a question without a scene is a scene of its own.

    Questions about the same picture, or its mirror image, share a scene (`Question.scene`).
    """
    own = "question:" + table["question"].astype(str)
    if "scene" not in table:
        return own.to_numpy(object)
    scene = table["scene"].fillna("").astype(str)
    return scene.where(scene != "", own).to_numpy(object)


def accuracy(answers: pd.DataFrame, n: int = 10_000, seed: int = 0) -> Estimate:
    """Share of rows that are right, 0..1.

    If all rows are right, or all wrong, the bootstrap has no spread. The interval is then Wilson's, with one trial per scene.
    """
    _check(answers)
    found = stats.cluster_bootstrap(answers["correct"], scenes_of(answers), n=n, seed=seed)
    if found.value not in (0.0, 1.0):
        return found
    scenes = len(set(scenes_of(answers)))
    bounds = stats.wilson(scenes if found.value else 0, scenes)
    return Estimate(found.value, bounds.low, bounds.high, found.n, found.p)


def accuracy_by(
    answers: pd.DataFrame, by: str | Sequence[str] | None = "function", n: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy by group: columns group, accuracy, low, high, unparsable, n (rows), in order of appearance.

    Args:
        answers: an answers table.
        by: a column; several columns (their values are joined by "|"); `"functions"`, which counts a step for each function
            it needs; or None for one group called "all".
        n: bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        HeadAtlasError: `by` is not a column, or `answers` is not an answers table.
    """
    _check(answers)
    if by == "functions":
        answers = answers.assign(functions=answers["functions"].str.split("|")).explode("functions")
    names = [by] if isinstance(by, str) else list(by or ())
    if missing := [name for name in names if name not in answers]:
        raise HeadAtlasError(f"by must be a column of the answers ({', '.join(answers.columns)}), got {missing[0]!r}")
    group = answers[names].astype(str).agg("|".join, axis=1) if names else pd.Series("all", index=answers.index)
    rows = []
    for name, part in answers.groupby(group.to_numpy(), sort=False):
        found = accuracy(part, n, seed)
        unparsable = float(part["unparsable"].mean()) if "unparsable" in part else np.nan
        rows.append((str(name), found.value, found.low, found.high, unparsable, found.n))
    return pd.DataFrame(rows, columns=["group", "accuracy", "low", "high", "unparsable", "n"])


def final(answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of each question's last step, which asks the question itself."""
    _check(answers)
    return _where(answers, answers["step"] == answers["n_steps"] - 1)


def chance(answers: pd.DataFrame) -> pd.Series:
    """Probability of guessing each row right, 0..1, with the index of `answers`.

    A column `chance` is returned unchanged. Otherwise it is 1/2 for yes_no; 1 / number of options for a choice if there is a
    column `options`; and for all else the share of the most frequent gold answer among the table's steps of the same source,
    function, answer type and kind.
    """
    _check(answers, ("kind", "answer_type", "gold"))
    if "chance" in answers:
        return answers["chance"].astype(float)
    of = ["source", "function", "answer_type", "kind"]
    gold = answers["gold"].astype(str).str.lower()
    groups = gold.groupby([answers[c] for c in of], sort=False, dropna=False)
    out = groups.transform(lambda golds: golds.value_counts().iloc[0] / len(golds)).astype(float)
    if "options" in answers:
        count = answers["options"].map(_count)
        choice = (answers["answer_type"] == "choice") & (count > 0)
        out = out.mask(choice, 1 / count.clip(lower=1))
    return out.mask(answers["answer_type"] == "yes_no", 0.5).rename("chance")


def spatial_score(answers: pd.DataFrame, chance_corrected: bool = False, n: int = 10_000, seed: int = 0) -> Estimate:
    """SS = 100 * (accuracy on spatial perception + accuracy on relational reasoning) / 2, each the mean over sources.

    Args:
        answers: an answers table.
        chance_corrected: replace every accuracy a by (a - c) / (1 - c), where c is the mean `chance` of its steps: 0 is
            guessing, 100 is perfect, below 0 is worse than guessing.
        n: bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        The score in 0..100 with its 95 % interval; its `n` counts spatial steps. NaN if one of the two functions has no steps
        (or, corrected, no steps whose chance is below 1).
    """
    _check(answers)
    spatial = answers["function"].isin(SPATIAL).to_numpy()
    right = answers["correct"].to_numpy(float)
    if not chance_corrected:
        return _macro(_where(answers, spatial), right[spatial], np.ones(spatial.sum()), n, seed)
    guess = chance(answers).to_numpy()
    return _macro(_where(answers, spatial), (right - guess)[spatial], 1 - guess[spatial], n, seed)


def ss_ground(answers: pd.DataFrame, without_image: pd.DataFrame, n: int = 10_000, seed: int = 0) -> Estimate:
    """SS minus the SS of the same model on the same steps without the image, in points, paired step by step.

    Raises:
        HeadAtlasError: the two tables are not about the same steps.
    """
    _check(answers)
    _check(without_image)
    blind = without_image.set_index(KEYS)["correct"].astype(float)
    keys = pd.MultiIndex.from_arrays([answers[key] for key in KEYS], names=KEYS)
    if len(blind) != len(keys) or not keys.isin(blind.index).all() or keys.has_duplicates:
        raise HeadAtlasError(
            f"answers with and without the image must be about the same steps, got {len(keys)} and {len(blind)} rows; "
            "evaluate both on the same questions"
        )
    gain = answers["correct"].to_numpy(float) - blind.loc[keys].to_numpy()
    spatial = answers["function"].isin(SPATIAL).to_numpy()
    return _macro(_where(answers, spatial), gain[spatial], np.ones(spatial.sum()), n, seed)


def ss_chain(answers: pd.DataFrame, n: int = 10_000, seed: int = 0) -> Estimate:
    """100 * share of questions whose spatial steps and final answer are all right, mean over sources.

    Use answers given in the model's *own* context, so that a mistake affects later steps; this is checked only if the table has
    a column `context`. Questions without a spatial step do not count. `n` of the result counts questions; NaN if there is none.
    """
    _check(answers)
    if "context" in answers and (answers["context"] != "own").any():
        raise HeadAtlasError(
            "SS_chain needs answers in the model's own context, got others; use evaluate(..., context='own')"
        )
    spatial = answers["function"].isin(SPATIAL)
    counted = answers["question"].isin(answers["question"][spatial])
    asked = _where(answers, counted & (spatial | (answers["step"] == answers["n_steps"] - 1)))
    if asked.empty:
        return Estimate(np.nan, np.nan, np.nan, 0)
    chains = asked.groupby("question", sort=False).agg(
        right=("correct", "all"), scene=("scene", "first"), source=("source", "first")
    )
    return _hundred(
        stats.bootstrap_groups(chains["right"].astype(float), chains["source"], chains["scene"], n=n, seed=seed)
    )


def _macro(spatial: pd.DataFrame, values: np.ndarray, denominators: np.ndarray, n: int, seed: int) -> Estimate:
    """100 * mean over the two spatial functions of the mean over sources of sum(values) / sum(denominators)."""
    groups = list(zip(spatial["function"], spatial["source"], strict=True))
    totals: dict[tuple[str, str], float] = {}  # the denominator of each (function, source)
    for group, below in zip(groups, denominators, strict=True):
        totals[group] = totals.get(group, 0.0) + float(below)
    kept = [group for group, total in totals.items() if total > 0]
    sources = {name: sum(function == name for function, _ in kept) for name in SPATIAL}
    if not all(sources.values()):
        return Estimate(np.nan, np.nan, np.nan, len(spatial))
    weights = {group: 1 / (len(SPATIAL) * sources[group[0]]) for group in kept}
    return _hundred(stats.bootstrap_groups(values, groups, scenes_of(spatial), weights, denominators, n=n, seed=seed))


def _where(table: pd.DataFrame, rows: Any) -> pd.DataFrame:
    chosen: Any = table[rows]  # pandas' own types cannot tell that a mask gives a table
    return chosen


def _hundred(found: Estimate) -> Estimate:
    return Estimate(100 * found.value, 100 * found.low, 100 * found.high, found.n, found.p)


def _count(options: object) -> int:
    if isinstance(options, str):
        return len([o for o in options.split("|") if o])
    return len(options) if isinstance(options, (tuple, list, np.ndarray)) else 0


def _check(answers: pd.DataFrame, more: Sequence[str] = ()) -> None:
    missing = [name for name in (*_NEEDED, *more) if name not in answers]
    if missing:
        raise HeadAtlasError(
            f"answers must be a table as headatlas.evaluate returns it, got one without {', '.join(missing)}"
        )
    if answers.empty:
        raise HeadAtlasError("answers must have at least one row, got an empty table")
