"""`headatlas data import`, `importers`, `export` and `validate`: datasets from and for elsewhere, and their faults."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.data_build import PANEL
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.importing import Report

_SHOWN = 5
"""How many of the records that were left out are printed; the report lists all."""


@command("data import", panel=PANEL, order=30)
def import_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An importer, such as vsr; `headatlas data importers` lists them.")
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Folder or file as published by its authors, the URL of its table, or a Hugging Face id."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset; its report is written next to it.")],
    n: Annotated[
        int,
        typer.Option("--n", "-n", min=1, help="Number of questions; every image gets one before any gets a second."),
    ] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the choice of questions and of the splits.")] = 0,
    splits: Annotated[
        str, typer.Option(help="Splits to divide the questions among; no image is in two of them.")
    ] = "P,S,T,E",
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Folder with images; can be given several times.")
    ] = None,
    download: Annotated[
        bool, typer.Option(help="Download images that are in no folder from the addresses in the records.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for downloads [default: $HEADATLAS_CACHE or ~/.cache/headatlas].")
    ] = None,
    sha256: Annotated[str, typer.Option(help="Expected SHA-256 digest of a table at a URL.")] = "",
    as_json: options.AsJson = False,
) -> None:
    """Import an outside dataset as CogVSR. Records that cannot be used are listed with the reason and skipped.

    Example: headatlas data import vsr --from visual-spatial-reasoning/data/splits/zeroshot --images coco --n 400 --out data/vsr

    Sets with a layout (nlvr, vsp, shapeworld, shapes, clevr, superclevr, spatial457) get their steps from it. The others
    have one step for each question; `headatlas data decompose` breaks them into steps.
    """
    from headatlas.importing import import_dataset

    chosen = options.split_names(splits)
    with Bars() as bars:
        report = import_dataset(
            name, source, out, n, seed, chosen, images or (), download, cache, sha256, progress=bars
        )
    print_report(report, out, as_json)
    if report.questions < n and not as_json:
        typer.echo(f"{n} questions were requested, but the set has only {report.questions} usable ones", err=True)


def print_report(report: Report, out: Path, as_json: bool) -> None:
    """Print what an import did; what was left out goes to stderr."""
    from headatlas.importing.own import NAME
    from headatlas.importing.run import report_path

    if as_json:
        print_json(asdict(report))
    else:
        dealt = ", ".join(f"{split} {count}" for split, count in report.splits.items())
        origin = {"derived": "derived from the layout", "given": "as in the set"}.get(report.steps, "as given")
        steps = f"steps of {report.decomposed} {origin}" if report.decomposed else "one step each, not decomposed"
        typer.echo(f"{report.questions} questions of {report.title} ({dealt}) in {out}; {steps}")
    if report.importer != NAME:
        typer.echo(f"licence: {report.licence}", err=True)
    for what, rows in (("images missing or broken", report.missing), ("records left out", report.left_out)):
        if rows:
            typer.echo(f"{len(rows)} {what}; {report_path(out)} lists all:", err=True)
            for row in rows[:_SHOWN]:
                typer.echo(f"  {row}", err=True)


@command("data importers", panel=PANEL, order=31)
def importers(as_json: options.AsJson = False) -> None:
    """List the sets that `import` can read: name, licence, origin of the steps, and what the importer was tested on."""
    from headatlas.importing import IMPORTERS

    keys = ("name", "title", "home", "licence", "shareable", "steps", "tested_on")
    known = [{key: getattr(one, key) for key in keys} for _, one in sorted(IMPORTERS.items())]
    if as_json:
        print_json(known)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "dataset", "steps", "tested on", "licence")
    for one in known:
        table.add_row(one["name"], one["title"], one["steps"], one["tested_on"], one["licence"])
    Console().print(table)


@command("data export", panel=PANEL, order=70)
def export_(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A stored dataset, or scenes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to; an earlier export in it is replaced.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="hub (Parquet with a card), jsonl (one question per line), or cogqa.")
    ] = "hub",
    push: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="Also upload it to the Hugging Face hub, with your token.")
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; the default is private.")
    ] = False,
    rights: Annotated[
        bool, typer.Option("--rights", help="Confirm that you may redistribute sources whose licence does not say so.")
    ] = False,
) -> None:
    """Export a dataset with its card: sources, licences, and counts next to those of the paper.

    Example: headatlas data export data/vsr --format hub --out export/vsr
    """
    from headatlas.cogvsr import load
    from headatlas.cogvsr.export import export
    from headatlas.cogvsr.export import push as upload

    if not push:
        options.refuse_unused(context, ("public", "rights"), "only with --push")
    if push and form != "hub":
        raise HeadAtlasError(f"--push needs --format hub, got {form!r}")
    dataset = load(data)
    typer.echo(str(export(dataset, form, out)))
    if push:
        typer.echo(upload(dataset, push, private=not public, rights=rights, folder=out))


@command("data validate", panel=PANEL, order=22)
def validate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A dataset (.jsonl, .parquet, a folder with them), or own questions as `data from` reads them.",
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="Folder with the pictures of own questions; can be given several times."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of faults to print; all are counted.")
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each fault.")] = False,
) -> None:
    """List every fault of a dataset with its line and field, and what to write; exit with 1 if there is one. Changes nothing.

    Example: headatlas data validate questions.jsonl
    """
    from headatlas.cogvsr.validate import Checked
    from headatlas.cogvsr.validate import validate as find_faults
    from headatlas.importing.own_validate import is_own, validate_own

    checked = Checked()
    own = is_own(path)
    for i, fault in enumerate(validate_own(path, images or (), checked) if own else find_faults(path, checked)):
        if i < most:
            typer.echo(json.dumps(asdict(fault)) if as_json else str(fault))
    if checked.faults > most:
        typer.echo(f"{checked.faults - most} more faults; --most prints more", err=True)
    typer.echo(f"{path}: {checked.questions} valid questions, {checked.faults} faults", err=True)
    if checked.remote:
        typer.echo(f"{checked.remote} pictures are at addresses: add --download to headatlas data from", err=True)
    if own and not checked.faults:
        typer.echo(f"make a dataset of them with: headatlas data from {shlex.quote(str(path))} --out DIR", err=True)
    if checked.faults:
        raise typer.Exit(1)
