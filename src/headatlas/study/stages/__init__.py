"""The stages of a study, one module each; importing this registers them in `STAGES`."""

# isort: off  (stages run in the order of these lines)
from headatlas.study.stages import data, evaluate, capture, score, select, ablate  # noqa: F401
from headatlas.study.stages import look, towers, steer, activate, methods, positive_control, report  # noqa: F401

# isort: on
from headatlas.study.stages.base import STAGES, Stage, run_stage, stage

__all__ = ["STAGES", "Stage", "run_stage", "stage"]
