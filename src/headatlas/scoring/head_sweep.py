"""The sweep of all heads: the loss of every step and every function when each head alone is ablated.

It may be run on any split, E included, because it selects no heads and has no null.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.intervention.effects import of_function
from headatlas.intervention.operations import Means
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress
from headatlas.results.sweeps import SWEEP_TABLES
from headatlas.scoring.ablation import SingleHeadDamage, single_head_damage

COLUMNS = ["function", "layer", "head", "loss", "loss_low", "loss_high", "drop", "low", "high", "n"]


@dataclass(frozen=True, eq=False, repr=False)
class HeadSweep:
    """Exact effects of single heads.

    Attributes:
        damage: every step's loss under every head, [N, L, H].
        table: one row per function (primary; `""` is all steps) and head: `loss` is the mean fall of the gold answer's
            log-probability (nats), `drop` that of accuracy (0..1), each with a 95 % interval over questions; `n` steps.
    """

    damage: SingleHeadDamage
    table: pd.DataFrame

    def __repr__(self) -> str:
        functions = [name or "all steps" for name in self.table["function"].unique()]
        return f"HeadSweep of {self.damage!r}\n  table: {len(self.table)} rows for {', '.join(functions)}"

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write heads.csv (the table), heads.npz and heads.parquet (every step's losses); returns the first two paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        SWEEP_TABLES["heads"].check("sweep/heads", self.table).to_csv(folder / "heads.csv", index=False)
        self.damage.save(folder / "heads.npz")
        return folder / "heads.csv", folder / "heads.npz"


def head_sweep(
    runner: Runner,
    shape: tuple[int, int],
    operation: str = "mean",
    means: Means | None = None,
    split: str = "E",
    scope: str = "all",
    n_boot: int = 2_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> HeadSweep:
    """Ablate every head of the language tower alone, on every question of `split`.

    Args:
        runner: evaluates conditions, cached head by head; forced mode.
        shape: (L, H) of the model.
        operation, means, scope: as in `intervention.negative`.
        split: any split, or a part of one such as "E[:150]".
        n_boot, seed: of the intervals, questions resampled whole.
        progress: called after each head.
    """
    damage = single_head_damage(runner, shape, operation, means, split, scope, progress)
    groups = {"": np.ones(len(damage.steps), bool)}
    groups |= {name: of_function(damage.steps, name) for name in FUNCTIONS}
    layers, heads = shape
    parts = []
    for name, rows in groups.items():
        if not rows.any():
            continue
        columns: dict[str, np.ndarray] = {}
        for measure, (value, low, high) in {
            "logprob": ("loss", "loss_low", "loss_high"),
            "accuracy": ("drop", "low", "high"),
        }.items():
            columns[value] = damage.of(measure)[rows].mean(0, dtype=np.float64)  # pyright: ignore[reportArgumentType]
            columns[low], columns[high] = damage.intervals(rows, measure, n_boot, seed)  # pyright: ignore[reportArgumentType]
        places = {"layer": np.repeat(np.arange(layers), heads), "head": np.tile(np.arange(heads), layers)}
        parts.append(
            pd.DataFrame(
                {"function": name, **places, **{c: grid.ravel() for c, grid in columns.items()}, "n": int(rows.sum())},
                columns=COLUMNS,
            )
        )
    return HeadSweep(damage, pd.concat(parts, ignore_index=True))
