"""Translate the cognitive skills of CogQA and CogVision to CogVSR's functions and back.

CogQA's labels are for text. The two perceptual functions have no counterpart there and keep their own names.
"""

from __future__ import annotations

import re

from headatlas.cogvsr.functions import FUNCTIONS, TITLES

_TO_FUNCTION: dict[str, str] = {
    "mathcalculation": "math_reasoning",
    "mathreasoning": "math_reasoning",
    "retrieval": "information_extraction",
    "semanticunderstanding": "information_extraction",
    "syntacticunderstanding": "information_extraction",
    "languageinformationextractionandunderstanding": "information_extraction",
    "informationextractionandunderstanding": "information_extraction",
    "taskcomprehension": "information_extraction",
    "knowledgerecall": "knowledge_recall",
    "languageknowledgerecall": "knowledge_recall",
    "lexicalknowledge": "knowledge_recall",
    "inference": "decision_making",
    "logicalreasoning": "decision_making",
    "induction": "decision_making",
    "decisionmaking": "decision_making",
    "lowlevelvisionreception": "low_level_perception",
    "lowlevelvisualperception": "low_level_perception",
    "highlevelvisionreception": "high_level_perception",
    "highlevelvisualperception": "high_level_perception",
    "visionknowledgerecall": "knowledge_recall",
    "spatialreasoning": "relational_reasoning",
}
"""Skills of CogQA (with irregular labels) and CogVision, without spaces. Inference and logic are closest to decision making."""

DROPPED = ("selfevaluation",)
"""Labels of steps that do not answer anything about the question."""


def function_of(skill: str) -> str | None:
    """The function of a skill; names of functions are accepted in any spelling. None if it is not known."""
    plain = re.sub(r"[^a-z]", "", skill.lower())
    ours = {re.sub(r"[^a-z]", "", name): name for name in FUNCTIONS}
    ours |= {re.sub(r"[^a-z]", "", title.lower()): name for name, title in TITLES.items()}
    return ours.get(plain) or _TO_FUNCTION.get(plain)


def dropped(skill: str) -> bool:
    """Whether steps of this skill are left out on purpose."""
    return re.sub(r"[^a-z]", "", skill.lower()) in DROPPED


_TO_SKILL = {
    "math_reasoning": "Math Calculation",
    "information_extraction": "Retrieval",
    "knowledge_recall": "Knowledge Recall",
    "decision_making": "Decision-making",
}


def skill_of(function: str) -> str:
    """CogQA's name of a function; a function without one keeps its own ("Spatial perception")."""
    return _TO_SKILL.get(function, TITLES[function])
