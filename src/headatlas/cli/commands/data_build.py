"""`headatlas data build`, `stats` and `preview`: make, count and look at datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import options
from headatlas.cli.output import print_json, shown
from headatlas.cli.progress import Bars, tracked
from headatlas.cli.registry import command

PANEL = "Data and models"


@command("data build", panel=PANEL, order=10)
def build(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the Parquet files; made if it is missing.")],
    source: Annotated[str, typer.Argument(metavar="[SOURCE]", help=options.DATA_HELP)] = "scenes",
    n: options.NQuestions = 400,
    seed: options.DataSeed = 0,
    splits: options.Splits = options.ALL_SPLITS,
    as_json: options.AsJson = False,
) -> None:
    """Make a dataset and store it as Parquet with its images, which `datasets.load_dataset` can read, too.

    Example: headatlas data build --n 400 --seed 0 --out data/scenes

    SOURCE can also be a stored dataset, which is checked and stored again (a .jsonl file with paths of images becomes
    Parquet with the images inside). --n, --seed and --splits apply to named sources only.
    """
    from headatlas.cogvsr import CogVSR, load
    from headatlas.cogvsr.sources import SOURCES

    if source in SOURCES:
        questions = SOURCES[source](n, seed, options.split_names(splits))
        with Bars() as bars:
            data = CogVSR.from_questions(tracked(questions, n, "questions", bars), out)
    else:
        options.refuse_unused(context, ("n", "seed", "splits"), "only to a source by name, such as scenes")
        data = load(source)
        data.save(out)
    facts = {"path": str(out), "questions": len(data), "splits": data.splits, "fingerprint": data.fingerprint}
    if as_json:
        print_json(facts)
    else:
        parts = ", ".join(f"{name} {count}" for name, count in data.splits.items())
        typer.echo(f"{len(data)} questions ({parts}) in {out}, fingerprint {data.fingerprint}")


@command("data stats", panel=PANEL, order=20)
def stats(
    context: typer.Context,
    data: options.DataName = "scenes",
    n: options.NQuestions = 400,
    seed: options.DataSeed = 0,
    splits: options.Splits = options.ALL_SPLITS,
    charts: Annotated[Path | None, typer.Option(help="Also draw the counts, as SVG and PNG in this folder.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Count questions and steps by source, split, type, function and answer type, next to those of the paper's CogVSR.

    Example: headatlas data stats data/scenes
    """
    from headatlas.cogvsr import load
    from headatlas.cogvsr.sources import SOURCES
    from headatlas.cogvsr.summary import PAPER, summarize, title, to_dict

    if data not in SOURCES:
        options.refuse_unused(context, ("n", "seed", "splits"), "only to a source by name, such as scenes")
    dataset = load(data, n=n, seed=seed, splits=options.split_names(splits))
    if charts:
        from headatlas.report.counts import count_figures
        from headatlas.report.export import save_figures

        save_figures(count_figures(summarize(dataset)), charts)
        typer.echo(f"charts in {charts}", err=True)
    if as_json:
        print_json(to_dict(dataset))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=shown(f"{dataset.name}: {len(dataset)} questions"), title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("questions", "steps", "share", "paper: steps", "paper: share"):
        table.add_column(name, justify="right")
    group = ""
    for row in summarize(dataset).to_dict("records"):
        if row["group"] != group:
            table.add_section()
            group = row["group"]
        known = row["paper_steps"] == row["paper_steps"]
        paper = (f"{row['paper_steps']:.0f}", f"{row['paper_share']:.2%}") if known else ("", "")
        name = shown(title(group, row["name"]))
        table.add_row(name, str(row["questions"]), str(row["steps"]), f"{row['share']:.2%}", *paper)
    Console().print(table)
    typer.echo(f"The paper's CogVSR has {PAPER['questions']:,} questions; a step counts for its primary function.")


@command("data preview", panel=PANEL, order=21)
def preview(
    context: typer.Context,
    data: options.DataName = "scenes",
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML page to write.")] = Path("preview.html"),
    show: Annotated[int, typer.Option(min=1, help="How many questions to show, evenly spaced.")] = 60,
    n: options.NQuestions = 400,
    seed: options.DataSeed = 0,
    splits: options.Splits = options.ALL_SPLITS,
) -> None:
    """Write one HTML page with pictures, questions and their steps, to open in a browser.

    Example: headatlas data preview data/scenes --out preview.html
    """
    from headatlas.cogvsr import load
    from headatlas.cogvsr.preview import write_preview
    from headatlas.cogvsr.sources import SOURCES

    if data not in SOURCES:
        options.refuse_unused(context, ("n", "seed", "splits"), "only to a source by name, such as scenes")
    dataset = load(data, n=n, seed=seed, splits=options.split_names(splits))
    path = write_preview(dataset, out, n=show, title=f"CogVSR: {dataset.name}")
    typer.echo(str(path))
