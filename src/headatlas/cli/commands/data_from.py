"""`headatlas data from`: a dataset of the user's own questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.data_build import PANEL
from headatlas.cli.commands.data_import import print_report
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command


@command("data from", panel=PANEL, order=5)
def from_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .jsonl, .json, .csv, .tsv, .parquet or .xlsx file, or the folder that holds it."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset; its report is written next to it.")],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="Folder with pictures, besides FILE's own; can be given several times."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Only this many questions. [default: all]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    splits: Annotated[str, typer.Option(help="Splits to divide the questions among.")] = "P,S,T,E",
    download: Annotated[
        bool, typer.Option(help="Download pictures that are in no folder from the addresses in the rows.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a dataset of your own questions: rows with image, question and answer, and whatever else is known.

    Sample files of lmms-eval and TSVs and result files of VLMEvalKit are read, too. Splits are dealt by picture. Rows that cannot
    be used are listed with the reason and left out; `headatlas data validate FILE` lists them without making anything.

    Example: headatlas data from questions.jsonl --out data/mine, then headatlas study MODEL --data data/mine --out runs/mine

    A line of questions.jsonl: {"image": "a.jpg", "question": "Is the cup left of the plate?", "answer": "yes"}
    """
    from headatlas.cogvsr import load
    from headatlas.cogvsr.enough import ENOUGH_IN_ALL, cannot_run, scenes_per_split, too_few
    from headatlas.cogvsr.functions import TASK
    from headatlas.importing import import_dataset
    from headatlas.importing.own import NAME

    with Bars() as bars:
        report = import_dataset(
            NAME, source, out, n, seed, options.split_names(splits), images or (), download, progress=bars
        )
    print_report(report, out, as_json)
    steps = load(out).steps()
    if (steps["kind"] == TASK).any():
        typer.echo(
            "no cognitive functions are named: a study treats the questions as one function, this task", err=True
        )
    scenes = scenes_per_split(steps)
    if fault := cannot_run(scenes):
        typer.echo(f"too few pictures for a study: {fault}", err=True)
    elif too_few(scenes):
        typer.echo(
            f"{sum(scenes.values())} pictures are enough for a first look (study --quick); verdicts need about {ENOUGH_IN_ALL}",
            err=True,
        )
