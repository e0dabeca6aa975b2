"""The stages of a study, in the order in which they run; importing this fills the registry `STAGES`."""

# isort: off  (the order of these lines is the order of the stages)
from headatlas.study.stages import data, evaluate, capture, score, select, ablate, steer, activate, report  # noqa: F401

# isort: on
from headatlas.study.stages.base import STAGES, Stage, run_stage

__all__ = ["STAGES", "Stage", "run_stage"]
