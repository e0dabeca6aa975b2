"""Comparison of finished studies: tables in `OUT/comparison/`, and one page for all models.

It reads run directories only and loads no model, except that `run_studies` runs the studies first.
"""

from headatlas.compare.registry import COMPARISON_SECTIONS, comparison_section
from headatlas.compare.runs import Model, differences, read_models
from headatlas.compare.studies import run_studies
from headatlas.compare.tables import read_comparison
from headatlas.compare.write import compare_runs, refuse_comparison, refuse_run

__all__ = [
    "COMPARISON_SECTIONS",
    "Model",
    "compare_runs",
    "comparison_section",
    "differences",
    "read_comparison",
    "read_models",
    "refuse_comparison",
    "refuse_run",
    "run_studies",
]
