"""`headatlas activate`: ways of activating latent heads, each judged against its own controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.stages import ORDER, PANEL
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json, shown
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import read_settings, run_settings, workers
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading

BEFORE = ("capture", "score", "select")
"""Commands whose stages methods build on."""


@command("activate", panel=PANEL, order=ORDER.index("activate"), resumes=True)
@loads_model
def activate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="For a new run: shipped name, folder or Hugging Face id of a VLM."),
    ] = None,
    out: options.Out = Path("runs/study"),
    new_model: options.NewModel = None,
    data: options.StudyData = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="For a new run: methods by name, separated by commas, or `all` or `none`. [default: gain; with --quick none]"
        ),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="For a new run: what finds the things in a picture. [default: ground_truth]")
    ] = None,
    n: options.StudyN = None,
    seed: options.StudySeed = None,
    preset: options.Preset = None,
    quick: options.Quick = False,
    settings: options.Set = None,
    again: options.Again = False,
    devices: options.Devices = None,
    ray: options.Ray = None,
    n_workers: options.NWorkers = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Activate latent heads: show the picture in other ways, and act on heads. Head recipes are saved in RUN/recipes.

    Methods are fitted on split P, tuned on split T and evaluated once on split E, each against its own controls. Stages that this
    builds on run first where they have not.

    Examples:

      headatlas activate ref-llava --methods all --out runs/activated

      headatlas activate Qwen/Qwen2.5-VL-3B-Instruct --data data/mine --methods gain,lora --out runs/mine

      headatlas activate --out runs/demo
    """
    from headatlas.study import open_study, run_command

    if model is not None and new_model is not None:
        raise HeadAtlasError("the model must be given once: as MODEL or with --model")
    given = {"model": model or new_model, "data": data, "n": n, "seed": seed, **read_settings(settings)}
    for name, value in (("methods", methods), ("detector", detector)):
        if value is not None:
            given[name] = value
    chosen = run_settings(out, given, preset, quick, loading)
    with Bars() as bars, workers(devices, ray, n_workers) as group:
        study = open_study(chosen, out, bars, group, store, loading)
        ran = [name for before in BEFORE for name in run_command(study, before)]
        ran += run_command(study, "activate", again=again)
    _print(out, list(dict.fromkeys(ran)), as_json)


def _print(out: Path, ran: list[str], as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from headatlas.results import load

    table, recipes = load(out / "results", "methods"), sorted(str(path) for path in (out / "recipes").glob("*.recipe"))
    if as_json:
        print_json({"out": str(out), "ran": ran, "methods": table.to_dict("records"), "recipes": recipes})
        return
    if table.empty:
        print(f"{out / 'results' / 'activation.csv'}: gains by arm; no other method was judged (--methods)")
        return
    view = Table("method", "score", "gain", "95 % interval", "other steps", "unreadable", "helps", "why not")
    for row in table.itertuples():
        cells = (
            row.method, f"{row.before:.1f} -> {row.after:.1f}", f"{row.gain:+.1f}", f"{row.low:+.1f} to {row.high:+.1f}",
            f"{row.off_task_gain:+.1f}", f"{row.unparsable_after:.1%}", "yes" if row.helps else "no",
            "" if row.helps else row.reason,
        )  # fmt: skip
        view.add_row(*map(shown, cells))
    Console().print(view)
    for path in recipes:
        print(f"kept: {path}")
