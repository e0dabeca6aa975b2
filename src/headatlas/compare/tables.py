"""Read the tables of a comparison, `OUT/comparison/*.csv`; `headatlas.results` declares them."""

from __future__ import annotations

from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.report.tables import Run, read_tables
from headatlas.results.comparison import comparison_tables

FOLDER = "comparison"


def read_comparison(out: str | Path) -> Run:
    """The tables of the comparison in `out`.

    Raises:
        HeadAtlasError: there is no comparison in `out`, or one of its tables is damaged; the message names it.
    """
    folder = Path(out) / FOLDER
    if not (folder / "models.csv").is_file():
        raise HeadAtlasError(
            f"{str(out)!r} must hold a comparison, got no {FOLDER}/models.csv: run `headatlas compare` first"
        )
    tables, absent = read_tables(folder, comparison_tables())
    return Run(Path(out), tables, absent, folder=FOLDER)
