"""The tables that put models side by side: one row for each model and thing, each model measured on its own.

Intervals in the runs' own tables are kept. Those of counts, profiles and correlations between functions are 1.96 standard
errors over resampled questions on each side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.compare.profiles import binned, layer_mass, n_bins
from headatlas.compare.resample import N_RESAMPLES, resampled
from headatlas.compare.runs import Model
from headatlas.report.blocks import headline_selector
from headatlas.report.one_task import ONE_TASK, is_one_task
from headatlas.results.comparison import comparison_tables
from headatlas.scoring import Scores, agreement
from headatlas.scoring.resample import bootstrap_masks, limits
from headatlas.stats import benjamini_hochberg, half_width

_NO_DRAWS = np.full((1, len(FUNCTIONS), 1, 1), np.nan)


def models_table(models: Sequence[Model], out: Path) -> pd.DataFrame:
    """One row for each model, with the columns of `comparison_tables()["models"]`; `out` is the comparison's folder."""
    rows = []
    for model in models:
        settings = model.run.settings
        layers, heads = model.shape
        known = {key: settings.get(key) for key in ("family", "kv_heads", "d_head", "dtype", "model_fingerprint")}
        grid = {"layers": layers, "heads_per_layer": heads, "total": layers * heads}
        place = model.run.path.resolve()
        inside = place.name if place.parent == out.resolve() else ""
        functions = ONE_TASK if is_one_task(model.run) else "eight"
        rows.append(
            {
                "model": model.label,
                "name": settings.get("model"),
                **grid,
                **known,
                "functions": functions,
                "run": inside,
            }
        )
    return pd.DataFrame(rows)


def stacked(models: Sequence[Model], name: str) -> pd.DataFrame:
    """The runs' own table `name` of all models, one below the other, with a column `model` in front."""
    tables = [model.run.tables[name].assign(model=model.label) for model in models]
    table = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    return table[["model", *(c for c in table.columns if c != "model")]]


def names_table(models: Sequence[Model]) -> pd.DataFrame:
    """The scorers of all models with their names for people, each once; from the runs' own table `scorers`."""
    tables = [model.run.tables["scorers"] for model in models]
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True).drop_duplicates("scorer")


def counts_table(models: Sequence[Model]) -> pd.DataFrame:
    """The heads selected for each function, with the columns of `comparison_tables()["counts"]`."""
    rows = []
    for model in models:
        total = model.shape[0] * model.shape[1]
        sparsity = model.run.tables["sparsity"].set_index(["scorer", "function"])
        for scorer, masks in model.selected.items():
            selector = headline_selector(model.run, scorer)
            half = _share_half_width(model, scorer, selector)
            for f, function in enumerate(FUNCTIONS):
                count = int(masks[f].sum())
                share = count / total
                bounds = {"low": max(share - half[f], 0.0), "high": min(share + half[f], 1.0)}
                measures = {"gini": np.nan, "effective_number": np.nan, "centroid": np.nan}
                if (scorer, function) in sparsity.index:
                    measures = sparsity.loc[(scorer, function), list(measures)].to_dict()
                rows.append(
                    {"model": model.label, "scorer": scorer, "function": function, "selector": selector, "count": count,
                     "share": share, **(bounds if np.isfinite(half[f]) else {"low": np.nan, "high": np.nan}),
                     "gini": measures["gini"], "effective_share": measures["effective_number"] / total,
                     "centroid": measures["centroid"]}
                )  # fmt: skip
    return pd.DataFrame(rows)


def profiles_table(models: Sequence[Model]) -> pd.DataFrame:
    """Layer profiles in bins of relative depth, with the columns of `comparison_tables()["profiles"]`."""
    bins = n_bins([model.shape[0] for model in models])
    edges = np.arange(bins + 1) / bins
    rows = []
    for model in models:
        for scorer, values in model.scores.items():
            draws = binned(layer_mass(_draws(model, scorer)), bins) if scorer in model.atlas else None
            half = np.full((len(FUNCTIONS), bins), np.nan) if draws is None else half_width(draws)
            kinds = {
                "score": (binned(layer_mass(values), bins), half),
                "selected": (
                    binned(layer_mass(model.selected[scorer].astype(float)), bins),
                    np.full_like(half, np.nan),
                ),
            }
            for kind, (shares, width) in kinds.items():
                for f, function in enumerate(FUNCTIONS):
                    for k in range(bins):
                        value, w = shares[f, k], width[f, k]
                        rows.append(
                            (model.label, scorer, function, kind, edges[k], edges[k + 1], value,
                             np.clip(value - w, 0, 1), np.clip(value + w, 0, 1))
                        )  # fmt: skip
    columns = ["model", "scorer", "function", "kind", "depth_low", "depth_high", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def functions_table(models: Sequence[Model]) -> pd.DataFrame:
    """How alike two functions rank one model's heads, with the columns of `comparison_tables()["functions"]`."""
    rows = []
    for model in models:
        for scorer, values in model.scores.items():
            correlations = similarity(values)
            half = np.full_like(correlations, np.nan)
            if scorer in model.atlas:
                half = half_width(similarity(_draws(model, scorer)))
            for a, b in combinations(range(len(FUNCTIONS)), 2):
                value, w = correlations[a, b], half[a, b]
                bounds = (np.clip(value - w, -1, 1), np.clip(value + w, -1, 1))
                n = int(np.isfinite(values[a]).sum())
                rows.append((model.label, scorer, FUNCTIONS[a], FUNCTIONS[b], value, *bounds, n))
    columns = ["model", "scorer", "function_a", "function_b", "spearman", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def scorers_table(models: Sequence[Model]) -> pd.DataFrame:
    """How alike two scorers rank one model's heads, as results/agreement.csv, for every pair of scorers."""
    tables = []
    for model in models:
        for a, b in combinations(model.scores, 2):
            one, two = (Scores(name, np.nan_to_num(model.scores[name])) for name in (a, b))
            table = agreement(one, two, seed=model.seed).drop(columns="scorer")
            tables.append(table.assign(model=model.label, scorer_a=a, scorer_b=b))
    columns = ["model", "scorer_a", "scorer_b", "function", "spearman", "low", "high", "top5_overlap", "top5_expected"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def claims_table(models: Sequence[Model]) -> pd.DataFrame:
    """The verdicts of every run, unchanged, with `q`: p corrected over all claims, scorers and models (Benjamini-Hochberg).

    Raises:
        HeadAtlasError: an entry of a claims.json has no usable number where one belongs.
    """
    columns = [name for name in comparison_tables()["claims"].names if name not in ("model", "q")]
    rows = [{"model": m.label, **{c: entry.get(c) for c in columns}} for m in models for entry in m.run.claims]
    table = pd.DataFrame(rows, columns=["model", *columns])
    table["q"] = np.nan
    table = comparison_tables()["claims"].check("claims", table)
    return table.assign(q=benjamini_hochberg(table["p"]))


def similarity(values: Float[np.ndarray, "*any F L H"]) -> Float[np.ndarray, "*any F F"]:
    """Spearman correlation over heads between every two functions' scores; NaN for a function whose scores are all equal."""
    flat = values.reshape(*values.shape[:-2], -1)
    ranks = rankdata(flat, axis=-1)  # a NaN anywhere makes the whole function NaN
    ranks = ranks - ranks.mean(-1, keepdims=True)
    norm = np.sqrt((ranks**2).sum(-1))
    scale = norm[..., :, None] * norm[..., None, :]
    product = ranks @ np.swapaxes(ranks, -1, -2)
    return np.divide(product, scale, out=np.full_like(product, np.nan), where=scale > 0)


def _draws(model: Model, scorer: str) -> Float[np.ndarray, "B F L H"]:
    samples = model.atlas[scorer].per_sample if scorer in model.atlas else None
    return resampled(samples, model.seed) if samples is not None else _NO_DRAWS.repeat(2, 0)


def _share_half_width(model: Model, scorer: str, selector: str) -> Float[np.ndarray, " F"]:
    """Half the interval of each function's share of heads: 1.96 standard errors of the share in resamples of the scenes, in
    which heads are selected again; NaN for selectors that take no account of chance."""
    scores = model.atlas.get(scorer)
    if selector not in ("functional", "null") or scores is None or scores.per_sample is None or scores.pvalues is None:
        return np.full(len(FUNCTIONS), np.nan)
    drawn = bootstrap_masks(scores.per_sample, limits(scores), N_RESAMPLES, model.seed)
    return np.where(drawn.present, half_width(drawn.masks.mean((2, 3))), np.nan)
