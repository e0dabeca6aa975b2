"""`headatlas compare`: compares finished studies of several models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import options
from headatlas.cli.output import print_json, shown
from headatlas.cli.registry import command


@command("compare", panel="Studies", order=20)
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories of finished studies, two or more.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for comparison/ and report.html; not one of the runs themselves.")
    ] = Path("runs/comparison"),
    as_json: options.AsJson = False,
) -> None:
    """Compare finished studies of several models: one page, and its tables as CSV. The runs are only read.

    The page shows how the studies differ (data, seed, settings).

    Example:

      headatlas compare runs/llava runs/qwen --out runs/both
    """
    from headatlas.compare import compare_runs

    compare_runs(runs, out)
    print_comparison(out, as_json)


def print_comparison(out: Path, as_json: bool) -> None:
    """Print the verdicts of the comparison in `out`, claim by model."""
    from rich.console import Console
    from rich.table import Table

    from headatlas.compare import read_comparison

    tables = read_comparison(out).tables
    names, claims = list(tables["models"]["model"]), tables["claims"]
    if as_json:
        entries = claims.to_dict("records")
        print_json({"out": str(out), "report": str(out / "report.html"), "models": names, "claims": entries})
        return
    table = Table("claim", "scorer", title="Claims")
    for name in names:
        table.add_column(shown(name))
    for (identity, title, scorer), rows in claims.groupby(["id", "title", "scorer"], sort=False):
        verdicts = dict(zip(rows["model"], rows["verdict"], strict=True))
        cells = (f"{identity} {title}", scorer, *(verdicts.get(name, "-") for name in names))
        table.add_row(*map(shown, cells))
    Console().print(table)
    print(f"report: {out / 'report.html'}")
