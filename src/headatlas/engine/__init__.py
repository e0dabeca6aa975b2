"""Run many edits on many questions with one shared bare pass; each condition computes only what it changes."""

from headatlas.engine.naive import step_by_step
from headatlas.engine.result import Sweep
from headatlas.engine.sweep import sweep

__all__ = ["Sweep", "step_by_step", "sweep"]
