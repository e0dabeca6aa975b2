"""`headatlas data boxes`: finds the things that the questions of a dataset name, and draws them on a sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.data_build import PANEL
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command


@command("data boxes", panel=PANEL, order=65)
def boxes(
    data: options.DataName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for boxes.jsonl and sheet.png.")],
    detector: Annotated[
        str,
        typer.Option(
            help="Detector by name, or `name:source`: ground_truth, file:PATH, owlv2, grounding_dino, endpoint:MODEL."
        ),
    ] = "ground_truth",
    base_url: Annotated[str, typer.Option(help="Address of the endpoint, for the detector `endpoint`.")] = "",
    n: options.NQuestions = 100,
    seed: options.DataSeed = 0,
    shown: Annotated[int, typer.Option(min=1, help="Pictures on the sheet, at most.")] = 60,
    as_json: options.AsJson = False,
) -> None:
    """Find the things that questions name, and write their boxes and a contact sheet to check them.

    Example: `headatlas data boxes data/mine --detector owlv2 --out boxes`; then `headatlas activate ... --detector
    file:boxes/boxes.jsonl`.
    """
    from headatlas.cogvsr import load
    from headatlas.latent import get_detector
    from headatlas.latent.boxes import write_boxes

    made = get_detector(detector, **({"base_url": base_url} if base_url else {}))
    with Bars() as bars:
        path, sheet, empty = write_boxes(load(data, n=n, seed=seed), made, out, shown, bars)
    if as_json:
        print_json({"boxes": str(path), "sheet": str(sheet), "without": empty, "detector": made.fingerprint})
    else:
        print(f"{path}\n{sheet}\nnothing found in {empty} pictures")
