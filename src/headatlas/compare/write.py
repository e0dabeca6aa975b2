"""`compare_runs`: finished run directories in, `OUT/comparison/*.csv` and one page `OUT/report.html` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headatlas.compare.across import likeness_table
from headatlas.compare.report import render_comparison
from headatlas.compare.runs import differences, read_models
from headatlas.compare.within import (
    claims_table,
    counts_table,
    functions_table,
    models_table,
    profiles_table,
    scorers_table,
    together,
)
from headatlas.errors import HeadAtlasError
from headatlas.report.export import write_whole

FOLDER = "comparison"


def compare_runs(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Compare finished studies of several models and return the path of the page.

    Args:
        runs: Two or more run directories of `run_study`; they are only read.
        out: Folder, made if missing, for `comparison/*.csv`, `comparison/charts/` and `report.html`. It may be the folder that
            the run directories lie in, and none of them.

    Raises:
        HeadAtlasError: Fewer than two runs, one that is not finished, or `out` is itself a run directory.
    """
    target = Path(out)
    refuse_run(target)
    models = read_models(runs)
    tables = {
        "models": models_table(models, target),
        "differences": differences(models),
        "accuracy": together(models, "baseline"),
        "metrics": together(models, "metrics"),
        "counts": counts_table(models),
        "profiles": profiles_table(models),
        "functions": functions_table(models),
        "scorers": scorers_table(models),
        "damage": together(models, "damage"),
        "likeness": likeness_table(models),
        "claims": claims_table(models),
    }
    for name, table in tables.items():
        write_whole(target / FOLDER / f"{name}.csv", table.to_csv(index=False))
    return render_comparison(target)


def refuse_run(out: Path) -> None:
    """Raise if `out` is a run directory or a file: a comparison's report.html would take the place of the run's."""
    if out.exists() and not out.is_dir():
        raise HeadAtlasError(f"expected a folder for the comparison, came the file {str(out)!r}: name another folder")
    if (out / "settings.json").exists() or (out / "stages").is_dir():
        raise HeadAtlasError(
            f"{str(out)!r} holds the run of one model, whose report.html a comparison would replace: name another folder"
        )


def refuse_comparison(out: Path) -> None:
    """Raise if `out` holds a comparison: a run's report.html would take the place of the comparison's."""
    if (out / FOLDER / "models.csv").exists():
        raise HeadAtlasError(
            f"{str(out)!r} holds a comparison of several models, whose report.html a run would replace: name another folder"
        )
