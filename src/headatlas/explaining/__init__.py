"""Explain one answer: which heads carry it, which of them are redundant, and what they look at."""

from headatlas.explaining.alternatives import Alternative, alternatives, probabilities
from headatlas.explaining.effects import HeadEffects, head_effects
from headatlas.explaining.explain import explain, explain_chat
from headatlas.explaining.explanation import Explanation
from headatlas.explaining.groups import Groups, find_groups
from headatlas.explaining.lens import Writes, head_writes

__all__ = [
    "Alternative",
    "Explanation",
    "Groups",
    "HeadEffects",
    "Writes",
    "alternatives",
    "explain",
    "explain_chat",
    "find_groups",
    "head_effects",
    "head_writes",
    "probabilities",
]
