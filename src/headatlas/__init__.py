"""HeadAtlas: which attention heads of a vision-language model do the spatial work, are they causal, can acting on them help?

    import headatlas as ha
    vlm = ha.load_vlm("ref-llava")
    data = ha.cogvsr.load("scenes", n=400, seed=0)
    acts = ha.capture(vlm, data, tokens=("predict", "all"), out="runs/acts")
    atlas = ha.score(acts, scorer="paper")

Names are imported on first use, so that `import headatlas` and `headatlas --help` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headatlas._moved import install
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas import cogvsr
    from headatlas.activations import Activations, attention, capture
    from headatlas.compare import compare_runs, run_studies
    from headatlas.explaining import Explanation, explain
    from headatlas.heads import (
        Edit,
        Head,
        HeadSet,
        attend,
        block,
        find_heads,
        mean,
        patch,
        scale,
        scale_attention,
        steer,
        zero,
    )
    from headatlas.progress import Bars
    from headatlas.report import render_report
    from headatlas.scoring import Atlas, score
    from headatlas.study import plan_study, run_study
    from headatlas.vlm import VLM, HeadRecipe, evaluate, load_vlm

install()

_HOMES = {
    "heads": (
        *("Edit", "Head", "HeadSet", "find_heads", "mean", "patch", "scale", "steer", "zero"),
        *("attend", "block", "scale_attention"),
    ),
    "vlm": ("VLM", "HeadRecipe", "evaluate", "load_vlm"),
    "activations": ("Activations", "attention", "capture"),
    "scoring": ("Atlas", "score"),
    "study": ("plan_study", "run_study"),
    "progress": ("Bars",),
    "report": ("render_report",),
    "compare": ("compare_runs", "run_studies"),
    "explaining": ("Explanation", "explain"),
}
_HOME = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "VLM",
    "Activations",
    "Atlas",
    "Bars",
    "Edit",
    "Explanation",
    "Head",
    "HeadAtlasError",
    "HeadRecipe",
    "HeadSet",
    "attend",
    "attention",
    "block",
    "capture",
    "cogvsr",
    "compare_runs",
    "evaluate",
    "explain",
    "find_heads",
    "load_vlm",
    "mean",
    "patch",
    "plan_study",
    "render_report",
    "run_studies",
    "run_study",
    "scale",
    "scale_attention",
    "score",
    "steer",
    "zero",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"headatlas.{_HOME[name]}"), name)
    if name == "cogvsr":
        return import_module("headatlas.cogvsr")
    raise AttributeError(f"module 'headatlas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
