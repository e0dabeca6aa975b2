"""`headatlas models`: which families are proven, and what one model's heads look like. Thin: parses, calls, prints.

Results go to stdout, progress to stderr. Errors are `HeadAtlasError`s, which the command line's entry prints.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

models_app = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="Which families of VLMs HeadAtlas can address, proven check by check, and the heads of one model.",
)


@models_app.command()
def check(
    families: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY ...]", help="Model types, such as llava.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All families that the installed transformers knows.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Also write what was measured to this file.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes at a time; by default one for each core.")] = None,
) -> None:
    """Build a tiny random model of each family and check every head of every site; exit code 1 if anything fails.

    The families people use are also checked with their real processors: answer spans, image tokens, scopes.

    Example: headatlas models check --all --json models.json
    """
    from collections import Counter

    from headatlas.cli.progress import Bars
    from headatlas.errors import HeadAtlasError
    from headatlas.families.proof import check_families, save
    from headatlas.families.proof.table import line, summary

    if bool(families) == every:
        raise HeadAtlasError("expected families to check or --all, one of the two; `headatlas models list` prints them")
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


@models_app.command()
def table(file: Annotated[Path, typer.Argument(metavar="JSON", help="What `check --json` wrote.")]) -> None:
    """Print the table of families as Markdown.

    Example: headatlas models table models.json > docs/models.md
    """
    from headatlas.families.proof import load
    from headatlas.families.proof.table import markdown

    typer.echo(markdown(*load(file)), nl=False)


@models_app.command("list")
def list_families() -> None:
    """Print the families that the installed transformers knows, one a line."""
    from headatlas.families.proof import MODEL_TYPES

    for family in MODEL_TYPES:
        typer.echo(family)


@models_app.command()
def show(
    model: Annotated[str, typer.Argument(help="A shipped model (ref-llava), a path, a Hugging Face id, or a family.")],
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False,
) -> None:
    """Print a model's heads tower by tower: layers, heads, d_head, attention kernel, and what is left out and why.

    Example: headatlas models show ref-llava

    A family's name (llava) shows the class's own default sizes, without any weights.
    """
    from headatlas.families.proof.show import show as describe

    typer.echo("\n".join(describe(model, trust_remote_code)))
