"""Rendered scenes with exact ground truth, and fifteen types of spatial questions about them."""

from headatlas.scenes.build import SceneQuestion, ask_all, build, minimal_pairs, symbolic
from headatlas.scenes.question_types import QUESTION_TYPES
from headatlas.scenes.render import render
from headatlas.scenes.sample import random_scene

__all__ = ["QUESTION_TYPES", "SceneQuestion", "ask_all", "build", "minimal_pairs", "random_scene", "render", "symbolic"]
