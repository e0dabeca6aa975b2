"""`headatlas compare`: finished studies of several models held against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def add_compare_command(app: typer.Typer) -> None:
    """Add `compare` to the command line."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories of finished studies, two or more.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for comparison/ and report.html; not one of the runs themselves.")
    ] = Path("runs/comparison"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Compare finished studies of several models: one page, and its tables as CSV. The runs are only read.

    What differs in how they were studied (data, seed, settings) is said on the page.

    Example:

      headatlas compare runs/llava runs/qwen --out runs/both
    """
    from headatlas.compare import compare_runs

    compare_runs(runs, out)
    tell_comparison(out, as_json)


def tell_comparison(out: Path, as_json: bool) -> None:
    """Print the verdicts of the comparison in `out`, claim by model."""
    from headatlas.compare.report import read_comparison

    tables = read_comparison(out).tables
    names, claims = list(tables["models"]["model"]), tables["claims"]
    if as_json:
        kept = claims.astype(object).where(claims.notna(), None).to_dict("records")
        told = {"out": str(out), "report": str(out / "report.html"), "models": names, "claims": kept}
        print(json.dumps(told, allow_nan=False))
        return
    table = Table("claim", "scorer", *map(escape, names), title="Claims")
    for (claim, title, scorer), rows in claims.groupby(["id", "title", "scorer"], sort=False):
        verdicts = dict(zip(rows["model"], rows["verdict"], strict=True))
        table.add_row(f"{claim} {title}", scorer, *(verdicts.get(name, "-") for name in names))
    Console().print(table)
    print(f"report: {out / 'report.html'}")
