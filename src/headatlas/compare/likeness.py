"""`likeness_table`: how alike two models are, each number compared with chance.

Heads of two models do not correspond, so no head is matched with another. What corresponds are the functions (which go
together, which need many heads, which break without which heads) and the relative depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.compare.chance import Likeness, matrices, profiles, vectors, without_means
from headatlas.compare.per_model import similarity
from headatlas.compare.profiles import binned, correlation, distance, layer_mass, n_bins
from headatlas.compare.resample import halves
from headatlas.compare.runs import Model
from headatlas.report.tables import only
from headatlas.results.comparison import comparison_tables
from headatlas.stats import benjamini_hochberg, spearman


def likeness_table(models: Sequence[Model], seed: int = 0) -> pd.DataFrame:
    """One row for each scorer, measure and pair of models; `function` is "" for measures over all functions.

    The measures (column `what`):

    * `counts`: rank correlation of the functions' shares of heads;
    * `functions`: rank correlation of the function-by-function similarity matrices;
    * `damage`: rank correlation of the damage matrices; `damage_pairs`: the same without row and column means;
    * `profile_distance`: earth mover's distance of the layer profiles, 0..1 of the depth;
    * `profile_correlation`: correlation of the layer profiles over depth bins;
    * `profile_match`: how much nearer the same function is than another one.

    `chance_low` and `chance_high` bound the middle 95 % by chance. `same` is the measure between two halves of one model's
    questions, the mean of both models. `q` is corrected over the whole table (Benjamini-Hochberg).
    """
    bins = n_bins([model.shape[0] for model in models])
    rows: list[dict[str, object]] = []
    for scorer in dict.fromkeys(name for model in models for name in model.scores):
        having = [model for model in models if scorer in model.scores]
        selves = {model.label: _selves(model, scorer, bins) for model in having}
        for a, b in combinations(having, 2):
            names = {"scorer": scorer, "model_a": a.label, "model_b": b.label}
            both = selves[a.label], selves[b.label]
            for (what, function), measured in _pair(a, b, scorer, bins, seed).items():
                same = np.array([one.get((what, function), np.nan) for one in both])
                mean = float(same.mean()) if np.isfinite(same).all() else np.nan
                rows.append(
                    {**names, "what": what, "function": function, "value": measured.value, "chance_low": measured.chance_low,
                     "chance_high": measured.chance_high, "p": measured.p, "same": mean, "n": measured.n}
                )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(comparison_tables()["likeness"].names))
    table["q"] = benjamini_hochberg(table["p"].astype(float))
    return table


def damage_matrix(model: Model, scorer: str) -> Float[np.ndarray, "F F"]:
    """Drops (-1..1), heads_of x steps_of; NaN where a function had no heads to silence or no steps."""
    frame = only(model.run.tables["damage"], scorer=scorer)
    place = {name: i for i, name in enumerate(FUNCTIONS)}
    out = np.full((len(FUNCTIONS), len(FUNCTIONS)), np.nan)
    for heads_of, steps_of, k, drop in zip(
        frame["heads_of"], frame["steps_of"], frame["k"], frame["drop"], strict=True
    ):
        # k = 0: no heads were silenced, so the zeros in that row say nothing.
        if k > 0 and heads_of in place and steps_of in place:
            out[place[heads_of], place[steps_of]] = drop
    return out


def _pair(a: Model, b: Model, scorer: str, bins: int, seed: int) -> dict[tuple[str, str], Likeness]:
    shares = [model.selected[scorer].mean((1, 2)) for model in (a, b)]
    similarities = [similarity(model.scores[scorer]) for model in (a, b)]
    damage = [damage_matrix(model, scorer) for model in (a, b)]
    measured = {
        ("counts", ""): vectors(*shares),
        ("functions", ""): matrices(*similarities),
        ("damage", ""): matrices(*damage, diagonal=True),
        ("damage_pairs", ""): matrices(without_means(damage[0]), without_means(damage[1]), diagonal=True),
    }
    depth = profiles(*(layer_mass(model.scores[scorer]) for model in (a, b)), bins=bins, seed=seed)
    measured |= {
        ("profile_distance", ""): depth.mean_distance,
        ("profile_correlation", ""): depth.mean_correlation,
        ("profile_match", ""): depth.match,
    }
    for f, function in enumerate(FUNCTIONS):
        measured["profile_distance", function] = depth.distance[f]
        measured["profile_correlation", function] = depth.correlation[f]
    return measured


def _selves(model: Model, scorer: str, bins: int) -> dict[tuple[str, str], float]:
    """The measures between two halves of one model's own questions, on average over random halves."""
    scores = model.atlas.get(scorer)
    if scores is None or scores.per_sample is None:
        return {}
    one, two = halves(scores.per_sample, model.seed)
    rows, columns = np.triu_indices(len(FUNCTIONS), 1)
    a, b = similarity(one)[:, rows, columns], similarity(two)[:, rows, columns]
    ranked = [spearman(x, y).value for x, y in zip(a, b, strict=True)]
    first, second = layer_mass(one), layer_mass(two)
    far = distance(first, second)  # [B, F]
    near = correlation(binned(first, bins), binned(second, bins))
    measured = {("functions", ""): _average(np.array(ranked)), ("profile_distance", ""): _average(far)}
    measured["profile_correlation", ""] = _average(near)
    for f, function in enumerate(FUNCTIONS):
        measured["profile_distance", function] = _average(far[:, f])
        measured["profile_correlation", function] = _average(near[:, f])
    return measured


def _average(values: Float[np.ndarray, ...]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
