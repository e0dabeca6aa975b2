"""`headatlas models`: check model families, and list the heads of one model."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli.registry import command

PANEL = "Data and models"


@command("models check", panel=PANEL, order=10)
def check(
    families: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY ...]", help="Model types, such as llava.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All families that the installed transformers knows.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Also write the measurements to this JSON file.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes. [default: one for each core]")] = None,
) -> None:
    """Build a tiny random model of each family and check every head of every site; exit with 1 if a check fails.

    Widely used families are also checked with their real processors: answer spans, image tokens, scopes.

    Example: headatlas models check --all --json models.json
    """
    from collections import Counter

    from headatlas.cli.progress import Bars
    from headatlas.errors import HeadAtlasError
    from headatlas.proof import check_families, save
    from headatlas.proof.table import line, summary

    if bool(families) == every:
        raise HeadAtlasError("give either families or --all; `headatlas models list` prints the families")
    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        raise HeadAtlasError(f"--json must be a file in a folder that exists, got {str(json)!r}")
    start = time.perf_counter()
    with Bars() as bars:
        reports = check_families(families or [], jobs, bars)
    seconds = time.perf_counter() - start
    for report in reports.values():
        typer.echo(line(report))
    counts = Counter(report.status for report in reports.values())
    typer.echo(f"{len(reports)} families in {seconds:.0f} s: {summary(counts)}")
    real = [not report.processor["problem"] for report in reports.values() if report.processor]
    if real:
        typer.echo(f"real processors: {sum(real)} of {len(real)} hold")
    if json is not None:
        save(reports, json, seconds)
    if not all(report.sound for report in reports.values()):
        sys.stdout.flush()
        raise typer.Exit(1)


@command("models table", panel=PANEL, order=20)
def table(file: Annotated[Path, typer.Argument(metavar="JSON", help="File written by `check --json`.")]) -> None:
    """Print the table of families as Markdown.

    Example: headatlas models table models.json > docs/models.md
    """
    from headatlas.proof import load
    from headatlas.proof.table import markdown

    typer.echo(markdown(*load(file)), nl=False)


@command("models list", panel=PANEL, order=30)
def list_families() -> None:
    """Print the families of the installed transformers, one per line."""
    from headatlas.proof import MODEL_TYPES

    for family in MODEL_TYPES:
        typer.echo(family)


@command("models show", panel=PANEL, order=40)
def show(
    model: Annotated[
        str, typer.Argument(help="A shipped model (ref-llava), a folder, a Hugging Face id, or a family.")
    ],
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False,
) -> None:
    """Print the heads of a model: layers, heads, d_head and attention kernel of each tower, and what is left out and why.

    Example: headatlas models show ref-llava

    The name of a family (llava) shows the default sizes of its class, without weights.
    """
    from headatlas.proof.show import show as describe

    typer.echo("\n".join(describe(model, trust_remote_code)))
