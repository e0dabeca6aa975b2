"""`headatlas ablate`: the stage that removes heads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.stages import ORDER, PANEL, print_ran
from headatlas.cli.commands.sweep import (
    SweepFunction,
    SweepScope,
    SweepScorer,
    SweepSplit,
    SweepTop,
    check_sweep_options,
    run_and_print,
)
from headatlas.cli.loading_options import loads_model
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import read_settings, run_settings, workers

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading


@command("ablate", panel=PANEL, order=ORDER.index("ablate"), resumes=True)
@loads_model
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
            help="Instead of the stage, run an exact sweep, as `headatlas sweep` does: heads, pairs, cumulative or greedy."
        ),
    ] = None,
    function: SweepFunction = None,
    scorer: SweepScorer = None,
    top: SweepTop = None,
    split: SweepSplit = None,
    scope: SweepScope = None,
    devices: options.Devices = None,
    ray: options.Ray = None,
    n_workers: options.NWorkers = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Remove heads: negative intervention with random controls, damage matrix, dose curves; or an exact sweep.

    Works on a run directory: `headatlas ablate --out runs/demo`, `headatlas ablate --sweep heads --out runs/demo`.
    """
    from headatlas.study import open_study, run_command

    sweep_options = {"function": function, "scorer": scorer, "top": top, "split": split, "scope": scope}
    check_sweep_options(sweep, sweep_options, again)
    given = {"model": model, "data": data, "n": n, "seed": seed, **read_settings(settings)}
    chosen = run_settings(out, given, preset, quick, loading)
    if sweep is None:
        with Bars() as bars, workers(devices, ray, n_workers) as group:
            ran = run_command(open_study(chosen, out, bars, group, store, loading), "ablate", again=again)
        print_ran("ablate", out, ran, as_json)
        return
    run_and_print(chosen, out, sweep, sweep_options, devices, ray, n_workers, store, loading, as_json)
