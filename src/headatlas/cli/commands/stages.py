"""The stages of a study that need the model, each as a command of its own on the same run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headatlas.cli import options
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import read_settings, result_files, run_settings, workers

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading

STAGES = {
    "evaluate": "Answer every step: with and without the image, after the dataset's or the model's own earlier answers.",
    "capture": "Run the model over all steps and store z of every head at the chosen tokens.",
    "score": "Score every head for every function.",
    "steer": "Steer heads toward right answers: strength tuned on split T, effect on split E, with controls.",
}
"""Help of each command. `ablate`, `select`, `activate` and `report` have files of their own, because they take other options."""

PANEL = "Stages of a study"
ORDER = ("evaluate", "capture", "score", "select", "ablate", "steer", "activate", "report")


def _stage_command(name: str, text: str) -> Callable[..., None]:
    def run(
        out: options.Out = Path("runs/study"),
        model: options.NewModel = None,
        data: options.StudyData = None,
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
        from headatlas.study import open_study, run_command

        given = {"model": model, "data": data, "n": n, "seed": seed, **read_settings(settings)}
        chosen = run_settings(out, given, preset, quick, loading)
        with Bars() as bars, workers(devices, ray, n_workers) as group:
            ran = run_command(open_study(chosen, out, bars, group, store, loading), name, again=again)
        print_ran(name, out, ran, as_json)

    run.__doc__ = f"{text}\n\nWorks on a run directory: `headatlas {name} --out runs/demo`."
    return loads_model(run)


def print_ran(name: str, out: Path, ran: list[str], as_json: bool) -> None:
    """Print which stages the command `name` ran."""
    if as_json:
        print_json({"command": name, "ran": ran, "out": str(out), "files": result_files(out)})
    else:
        what = f"ran {', '.join(ran)}" if ran else "was already done (--again repeats it)"
        print(f"{name}: {what}; results in {out / 'results'}")


for _name, _text in STAGES.items():
    command(_name, panel=PANEL, order=ORDER.index(_name), resumes=True)(_stage_command(_name, _text))
