"""`headatlas select`: the stage that selects heads from their scores. It needs no model."""

from __future__ import annotations

from pathlib import Path

from headatlas.cli import options
from headatlas.cli.commands.stages import ORDER, PANEL, print_ran
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import existing_settings


@command("select", panel=PANEL, order=ORDER.index("select"), resumes=True)
def select(
    out: options.ExistingRun = Path("runs/study"),
    again: options.Again = False,
    as_json: options.AsJson = False,
) -> None:
    """Select the heads of each function by comparison with the null; sparsity, counts and overlap.

    Works on a run directory whose heads are scored: `headatlas select --out runs/demo`. It needs no model.
    """
    from headatlas.study import open_recorded, run_command

    with Bars() as bars:
        ran = run_command(open_recorded(existing_settings(out), out, bars), "select", again=again)
    print_ran("select", out, ran, as_json)
