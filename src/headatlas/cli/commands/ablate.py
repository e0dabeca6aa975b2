"""`headatlas ablate`: the stage that removes heads, and exact sweeps over single heads, pairs and rankings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headatlas.cli import options
from headatlas.cli.commands.stages import ORDER, PANEL, print_ran
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import read_settings, run_settings, workers
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.study import Settings

SWEEP_OPTIONS = {
    "function": ("pairs", "cumulative", "greedy"),
    "scorer": ("pairs", "cumulative", "greedy"),
    "top": ("pairs", "greedy"),
    "split": ("heads", "pairs", "cumulative"),
    "scope": ("heads", "pairs", "cumulative", "greedy"),
}
"""Which sweeps an option applies to."""


@command("ablate", panel=PANEL, order=ORDER.index("ablate"), resumes=True)
def ablate(
    out: options.Out = Path("runs/study"),
    model: options.NewModel = None,
    data: options.StudyData = None,
    n: options.StudyN = None,
    seed: options.StudySeed = None,
    preset: options.Preset = None,
    quick: options.Quick = False,
    settings: options.Set = None,
    again: options.Again = False,
    sweep: Annotated[
        str | None,
        typer.Option(
            help="Instead of the stage, run an exact sweep into RUN/sweep: `heads` (each alone, on every question), `pairs` "
            "(of a function's heads), `cumulative` (a ranking, head by head) or `greedy` (a minimal set, chosen on split S and "
            "evaluated on split E)."
        ),
    ] = None,
    function: Annotated[
        list[str] | None,
        typer.Option(
            help="Function of a pairs, cumulative or greedy sweep; can be given several times. [default: the spatial ones]"
        ),
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(help="Scorer whose ranking or selection these sweeps use. [default: ablation]")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Use this many heads from the top of the ranking, instead of those selected (pairs, greedy)."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split that a sweep evaluates on, or a part of it such as E[:100] (not greedy). [default: E]"
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="Tokens at which a sweep removes heads: all, image, prompt, answer or last. [default: all]"),
    ] = None,
    devices: options.Devices = None,
    ray: options.Ray = None,
    n_workers: options.NWorkers = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove heads: negative intervention with random controls, damage matrix, dose curves; or an exact sweep.

    Works on a run directory: `headatlas ablate --out runs/demo`, `headatlas ablate --sweep heads --out runs/demo`.
    """
    from headatlas.study import open_study, run_command, run_sweep

    sweep_options = {"function": function, "scorer": scorer, "top": top, "split": split, "scope": scope}
    check_sweep_options(sweep, sweep_options, again)
    given = {"model": model, "data": data, "n": n, "seed": seed, **read_settings(settings)}
    chosen = run_settings(out, given, preset, quick)
    if sweep is None:
        with Bars() as bars, workers(devices, ray, n_workers) as group:
            ran = run_command(open_study(chosen, out, bars, group, store), "ablate", again=again)
        print_ran("ablate", out, ran, as_json)
        return
    from headatlas.cogvsr.functions import SPATIAL

    scorer = _scorer(sweep, scorer, chosen)
    with Bars() as bars, workers(devices, ray, n_workers) as group:
        study = open_study(chosen, out, bars, group, store)
        files = run_sweep(study, sweep, tuple(function or SPATIAL), scorer, split, scope or "all", top)
    if as_json:
        print_json({"command": "ablate", "sweep": sweep, "out": str(out), "files": [str(file) for file in files]})
    else:
        print(f"sweep of {sweep}: {', '.join(map(str, files))}")


def check_sweep_options(sweep: str | None, given: dict[str, Any], again: bool) -> None:
    """Refuse options that the sweep, or the stage without a sweep, would ignore, and unknown names.

    Args:
        sweep: name of the sweep, None for the stage.
        given: values of the options in `SWEEP_OPTIONS`, None for those left out.
        again: whether `--again` was given.
    """
    from headatlas.cogvsr.functions import FUNCTIONS
    from headatlas.heads import SCOPES
    from headatlas.study import SWEEPS

    if sweep is not None:
        _one_of("--sweep", sweep, tuple(SWEEPS))
    for name, value in given.items():
        if value is None:
            continue
        if sweep is None:
            raise HeadAtlasError(
                f"--{name} applies only to a sweep: add --sweep {', '.join(SWEEP_OPTIONS[name])}, or leave it out"
            )
        if sweep in ("heads", "pairs", "cumulative", "greedy") and sweep not in SWEEP_OPTIONS[name]:
            raise HeadAtlasError(
                f"--{name} does not apply to --sweep {sweep}, only to {', '.join(SWEEP_OPTIONS[name])}: leave it out"
            )
    if sweep is not None and again:
        raise HeadAtlasError("--again applies only to the stage; a sweep always runs again: leave it out")
    for name in given["function"] or ():
        _one_of("--function", name, FUNCTIONS)
    if given["scope"] is not None:
        _one_of("--scope", given["scope"], tuple(SCOPES))


def _scorer(sweep: str, scorer: str | None, settings: Settings) -> str:
    """The scorer of a sweep: the one named, else exact ablation if the run has it, else the run's first."""
    if scorer is not None:
        return _one_of("--scorer", scorer, settings.scorers)
    return "ablation" if "ablation" in settings.scorers else settings.scorers[0]


def _one_of(option: str, name: str, names: tuple[str, ...]) -> str:
    from headatlas.registry import near

    if name not in names:
        raise HeadAtlasError(f"{option} must be one of {', '.join(names)}; got {name!r}{near(name, names)}")
    return name
