"""`compare_runs`: reads finished run directories, writes `OUT/comparison/*.csv` and the page `OUT/report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headatlas.compare.likeness import likeness_table
from headatlas.compare.per_model import (
    claims_table,
    counts_table,
    functions_table,
    models_table,
    names_table,
    profiles_table,
    scorers_table,
    stacked,
)
from headatlas.compare.render import render_comparison
from headatlas.compare.runs import differences, read_models
from headatlas.compare.tables import FOLDER
from headatlas.errors import HeadAtlasError
from headatlas.report.export import write_text
from headatlas.results.comparison import comparison_tables
from headatlas.storage import check_out_folder


def compare_runs(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Compare finished studies of several models and return the path of the page.

    Args:
        runs: two or more run directories of `run_study`; they are only read.
        out: folder for `comparison/*.csv`, `comparison/charts/` and `report.html`, made if missing. It may be the folder that
            contains the run directories, but not one of them.

    Raises:
        HeadAtlasError: fewer than two runs, one that is unfinished or damaged, or `out` is itself a run directory.
    """
    target = Path(out)
    refuse_run(target)
    models = read_models(runs)
    tables = {
        "models": models_table(models, target),
        "differences": differences(models),
        "accuracy": stacked(models, "baseline"),
        "metrics": stacked(models, "metrics"),
        "counts": counts_table(models),
        "profiles": profiles_table(models),
        "functions": functions_table(models),
        "scorer_names": names_table(models),
        "scorers": scorers_table(models),
        "damage": stacked(models, "damage"),
        "likeness": likeness_table(models),
        "claims": claims_table(models),
    }
    for name, described in comparison_tables().items():
        write_text(target / FOLDER / f"{name}.csv", described.check(name, tables[name]).to_csv(index=False))
    return render_comparison(target)


def refuse_run(out: Path) -> None:
    """Raise `HeadAtlasError` if `out` cannot be written or is a run directory, whose report.html a comparison would replace."""
    check_out_folder(out)
    if (out / "settings.json").exists() or (out / "run.json").exists() or (out / "stages").is_dir():
        raise HeadAtlasError(
            f"{str(out)!r} holds the run of one model, whose report.html a comparison would replace: name another folder"
        )


def refuse_comparison(out: Path) -> None:
    """Raise `HeadAtlasError` if `out` holds a comparison, whose report.html a run would replace."""
    if (out / FOLDER / "models.csv").exists():
        raise HeadAtlasError(
            f"{str(out)!r} holds a comparison of several models, whose report.html a run would replace: name another folder"
        )
