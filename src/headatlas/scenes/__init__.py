"""The procedural source of CogVSR: scenes with exact ground truth, and fifteen families of spatial questions on them."""

from headatlas.scenes.build import SceneQuestion, ask_all, build, minimal_pairs, symbolic
from headatlas.scenes.families import FAMILIES
from headatlas.scenes.render import render
from headatlas.scenes.sample import random_scene

__all__ = ["FAMILIES", "SceneQuestion", "ask_all", "build", "minimal_pairs", "random_scene", "render", "symbolic"]
