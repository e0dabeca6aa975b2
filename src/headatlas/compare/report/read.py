"""What the comparison's page reads: `OUT/comparison/*.csv`.

Knows the columns fixed in docs/comparison.md; as everywhere in the report, a table that is missing is an empty frame with a
sentence that says so.
"""

from __future__ import annotations

from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.report.tables import COLUMNS as RESULTS
from headatlas.report.tables import Run, read_tables

FOLDER = "comparison"

COLUMNS: dict[str, str] = {
    "models": "model name layers heads_per_layer total family kv_heads d_head dtype model_fingerprint run",
    "differences": "setting model told meaning",
    "accuracy": f"model {RESULTS['baseline']}",
    "metrics": f"model {RESULTS['metrics']}",
    "counts": "model scorer function selector count share low high gini effective_share centroid",
    "profiles": "model scorer function kind depth_low depth_high share low high",
    "functions": "model scorer function_a function_b spearman low high n",
    "scorers": "model scorer_a scorer_b function spearman low high top5_overlap top5_expected",
    "damage": f"model {RESULTS['damage']}",
    "likeness": "scorer what function model_a model_b value chance_low chance_high p q same n",
    "claims": "model id title statement scorer verdict effect unit low high p q n control sentence",
}


def read_comparison(out: Path) -> Run:
    """The tables of the comparison in `out`; HeadAtlasError if there is none."""
    folder = Path(out) / FOLDER
    if not (folder / "models.csv").is_file():
        raise HeadAtlasError(f"expected a comparison in {str(out)!r}, found no {FOLDER}/models.csv: compare runs first")
    tables, absent = read_tables(folder, COLUMNS)
    return Run(Path(out), tables, absent, folder=FOLDER)
