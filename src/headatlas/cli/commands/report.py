"""`headatlas report`: the claims and the page of a study, from its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headatlas.cli import options
from headatlas.cli.commands.stages import ORDER, PANEL
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import existing_settings, result_files, run_settings

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading


@command("report", panel=PANEL, order=ORDER.index("report"), resumes=True)
@loads_model
def report(
    out: options.ExistingRun = Path("runs/study"),
    again: options.Again = False,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Judge the claims and write report.html and its charts, from the results of a study.

    Works on a run directory: `headatlas report --out runs/demo`. The page is always written again. The model is loaded only
    if the worked examples do not exist yet, if results are missing or damaged and have to be computed again, or with --again.
    """
    from headatlas.study import open_recorded, run_command
    from headatlas.study.stages import run_stage

    existing_settings(out)
    chosen = run_settings(out, {}, None, False, loading)  # options that contradict the run are refused
    with Bars() as bars:
        study = open_recorded(chosen, out, bars, loading)
        ran = run_command(study, "report", again=again)
        if "report" not in ran and run_stage(study, "report", again=True):
            ran.append("report")
    if as_json:
        facts = {"command": "report", "ran": ran, "out": str(out), "report": str(out / "report.html")}
        print_json({**facts, "files": result_files(out)})
    else:
        print(f"report: {out / 'report.html'}")
