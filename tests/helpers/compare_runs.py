"""Changes to hand-made runs, after which their similarity is known."""

from pathlib import Path

import numpy as np
import pandas as pd

from headatlas.cogvsr import FUNCTIONS
from headatlas.scoring import Atlas, PerSample, Scores

NAMES = ("function", "heads_of", "steps_of", "function_a", "function_b")
TURNED = dict(zip(FUNCTIONS, (FUNCTIONS[i] for i in (5, 2, 7, 0, 6, 1, 3, 4)), strict=True))


def turn_functions(run: Path) -> None:
    """Permute the functions' names in all tables of heads and damage."""
    for name in ("scores", "selection", "sparsity", "damage"):
        path = run / "results" / f"{name}.csv"
        table = pd.read_csv(path, keep_default_na=False)
        for column in set(NAMES) & set(table.columns):
            table[column] = table[column].map(TURNED)
        table.to_csv(path, index=False)


def add_atlas(run: Path, noise: float = 0.02, seed: int = 0) -> None:
    """An atlas whose per-step terms scatter around the scores of the table."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(run / "results" / "scores.csv")
    atlas = Atlas("synthetic")
    for scorer, rows in table.groupby("scorer", sort=False):
        shape = (len(FUNCTIONS), rows["layer"].max() + 1, rows["head"].max() + 1)
        values = rows["value"].to_numpy().reshape(shape)
        function = np.tile(np.arange(len(FUNCTIONS)), 40)
        terms = values[function] + rng.normal(0, noise, (len(function), *shape[1:]))
        samples = PerSample(terms, function, np.repeat(np.arange(40), len(FUNCTIONS)))
        p = np.where(values > 0.08, 1e-4, 0.5)
        atlas.scores[str(scorer)] = Scores(str(scorer), values, pvalues=p, per_sample=samples)
    atlas.save(run)


def keep_scorers(run: Path, *scorers: str) -> Path:
    """Leave the rows of these scorers only: a page with fewer charts, drawn sooner."""
    for path in (run / "results").glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "scorer" in table.columns:
            table[table["scorer"].isin(scorers)].to_csv(path, index=False)
    return run
