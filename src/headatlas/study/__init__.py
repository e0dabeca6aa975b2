"""The study: dataset -> capture -> atlas -> interventions -> activation -> claims -> report, resumable, in one directory."""

from headatlas.study.claims import Claim, judge
from headatlas.study.plan import Plan
from headatlas.study.recorded import open_recorded
from headatlas.study.run import (
    damaged_files,
    kept_settings,
    open_study,
    plan_study,
    run_command,
    run_stages,
    run_study,
)
from headatlas.study.settings import Settings, change_settings, make_settings, read_setting
from headatlas.study.sweeps import SWEEPS, run_sweep
from headatlas.study.watch import watching

__all__ = [
    "SWEEPS",
    "Claim",
    "Plan",
    "Settings",
    "change_settings",
    "damaged_files",
    "judge",
    "kept_settings",
    "make_settings",
    "open_recorded",
    "open_study",
    "plan_study",
    "read_setting",
    "run_command",
    "run_stages",
    "run_study",
    "run_sweep",
    "watching",
]
