"""`headatlas data import`, `export` and `validate`: datasets from elsewhere, to elsewhere, and what is wrong with one.

Thin: parses, calls `headatlas.cogvsr`, prints. Results go to stdout, progress and what was left out to stderr.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headatlas.errors import HeadAtlasError

_SHOWN = 5
"""Left-out records that are printed; the report has all."""


def add_import_commands(app: typer.Typer) -> None:
    """Add the commands to `headatlas data`."""
    app.command("import")(import_)
    app.command()(importers)
    app.command("export")(export_)
    app.command()(validate)


def import_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An importer, such as vsr; `headatlas data importers` lists them.")
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Folder or file as its authors publish it, a URL of its table, or a Hugging Face id."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset; its report goes beside it.")],
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="How many questions; one of each image before a second.")
    ] = 400,
    seed: Annotated[int, typer.Option(help="The same seed makes the same choice and splits.")] = 0,
    splits: Annotated[str, typer.Option(help="Splits to deal to; no image is in two of them.")] = "P,S,T,E",
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="A folder to look for images in; may be given several times.")
    ] = None,
    download: Annotated[
        bool, typer.Option(help="Fetch images that no folder has from the addresses in the records.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for downloads [default: $HEADATLAS_CACHE or ~/.cache/headatlas].")
    ] = None,
    sha256: Annotated[str, typer.Option(help="What a table at a URL must have.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Import an outside dataset as CogVSR. What cannot be used is listed with its reason, and does not end the import.

    Example: headatlas data import vsr --from visual-spatial-reasoning/data/splits/zeroshot --images coco --n 400 --out data/vsr

    Sets that give a layout (nlvr, vsp, shapeworld, shapes, clevr, superclevr, spatial457) get their steps from it; the others
    come as one step a question, for `headatlas data decompose`.
    """
    from headatlas.cli.progress import Bars
    from headatlas.importing import import_dataset
    from headatlas.importing.run import report_path

    chosen = tuple(part.strip() for part in splits.split(",") if part.strip())
    with Bars() as bars:
        report = import_dataset(
            name, source, out, n, seed, chosen, images or (), download, cache, sha256, progress=bars
        )
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        dealt = ", ".join(f"{split} {count}" for split, count in report.splits.items())
        told = {"derived": "derived from the layout", "given": "as the set gives them"}.get(report.steps)
        steps = f"steps of {report.decomposed} {told}" if report.decomposed else "one step each, not decomposed"
        typer.echo(f"{report.questions} questions of {report.title} ({dealt}) in {out}; {steps}")
    typer.echo(f"licence: {report.licence}", err=True)
    if report.questions < n:
        typer.echo(f"asked for {n}, the set has {report.questions} usable questions", err=True)
    for what, rows in (("images missing or broken", report.missing), ("records left out", report.left_out)):
        if rows:
            typer.echo(f"{len(rows)} {what}, all in {report_path(out)}:", err=True)
            for row in rows[:_SHOWN]:
                typer.echo(f"  {row}", err=True)


def importers(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False) -> None:
    """List what `import` can read: name, licence, where steps come from, and what it was tested on."""
    from headatlas.importing import IMPORTERS

    keys = ("name", "title", "home", "licence", "shareable", "steps", "tested_on")
    known = [{key: getattr(one, key) for key in keys} for _, one in sorted(IMPORTERS.items())]
    if as_json:
        typer.echo(json.dumps(known))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "dataset", "steps", "tested on", "licence")
    for one in known:
        table.add_row(one["name"], one["title"], one["steps"], one["tested_on"], one["licence"])
    Console().print(table)


def export_(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A stored dataset, or scenes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; an earlier export there is replaced.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="hub (Parquet with a card), jsonl (one question a line), or cogqa.")
    ] = "hub",
    push: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="Upload to the Hugging Face hub too, with your token.")
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; private otherwise.")] = False,
    rights: Annotated[
        bool, typer.Option("--rights", help="You may pass on the sources whose licence does not say so.")
    ] = False,
) -> None:
    """Write a dataset for elsewhere, with its card: sources, licences, counts beside the paper's.

    Example: headatlas data export data/vsr --format hub --out export/vsr
    """
    from headatlas.cogvsr import load
    from headatlas.cogvsr.export import export
    from headatlas.cogvsr.export import push as upload

    if push and form != "hub":
        raise HeadAtlasError(f"expected --format hub to upload, came {form!r}")
    dataset = load(data)
    typer.echo(str(export(dataset, form, out)))
    if push:
        typer.echo(upload(dataset, push, private=not public, rights=rights, folder=out))


def validate(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A .jsonl or .parquet file, or a folder with them.")],
    most: Annotated[int, typer.Option("--most", min=1, help="Faults to print; all are counted.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a fault.")] = False,
) -> None:
    """Name every fault of a dataset with its line and field; exit with 1 if there is one. Changes nothing.

    Example: headatlas data validate questions.jsonl
    """
    from headatlas.cogvsr.validate import Checked
    from headatlas.cogvsr.validate import validate as faults_of

    checked = Checked()
    for i, fault in enumerate(faults_of(path, checked)):
        if i < most:
            typer.echo(json.dumps(asdict(fault)) if as_json else str(fault))
    if checked.faults > most:
        typer.echo(f"{checked.faults - most} more faults; --most prints more", err=True)
    typer.echo(f"{path}: {checked.questions} valid questions, {checked.faults} faults", err=True)
    if checked.faults:
        raise typer.Exit(1)
