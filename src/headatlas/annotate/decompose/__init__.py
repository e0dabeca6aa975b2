"""Decompose questions into steps with a language model, and check every step. The prompts are in `prompts/`."""

from headatlas.annotate.decompose.ask import Chain, NotDecomposed, Rules, decompose_one
from headatlas.annotate.decompose.checks import check_chain
from headatlas.annotate.decompose.run import Failure, Outcome, decompose

__all__ = ["Chain", "Failure", "NotDecomposed", "Outcome", "Rules", "check_chain", "decompose", "decompose_one"]
