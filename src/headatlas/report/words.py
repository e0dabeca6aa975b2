"""Plain words for the names that tables use. Numbers as text come from `headatlas.formatting`, under the same names.

A name that is not listed here is shown with spaces for underscores, so that a new arm or question type needs no change here. The
names of scorers come from the study's table `scorers`: see `scorer_names`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, TASK_TITLE, TITLES
from headatlas.formatting import (
    MISSING,
    becomes,
    count,
    interval,
    known,
    listing,
    number,
    p_value,
    percent,
    points,
    seconds,
    signed,
    with_interval,
)

__all__ = [
    "CONTEXTS", "GROUPS", "INPUT_ARMS", "METRICS", "MISSING", "OPERATIONS", "SELECTORS", "SETS", "SHORT_FUNCTIONS",
    "STEERING_ARMS", "TARGETS", "VERDICTS", "becomes", "count", "functions_in_order", "group", "in_order", "interval", "known",
    "listing", "number", "one_task", "p_value", "percent", "plain", "points", "scorer", "scorer_names", "scorer_title",
    "scorers_in_order", "seconds", "short", "signed", "with_interval",
]  # fmt: skip

SHORT_FUNCTIONS = {
    "spatial_perception": "Spatial",
    "relational_reasoning": "Relations",
    "low_level_perception": "Low-level",
    "high_level_perception": "High-level",
    "information_extraction": "Extraction",
    "knowledge_recall": "Recall",
    "math_reasoning": "Math",
    "decision_making": "Decision",
}

GROUPS = {"": "All steps", "all": "All steps", "final": "Final answer", "spatial": "Both spatial functions"}

CONTEXTS = {
    "gold": "Earlier answers given",
    "own": "Own earlier answers",
    "gold_no_image": "Earlier answers given, no image",
    "own_no_image": "Own earlier answers, no image",
}

SELECTORS = {
    "functional": "above chance, a least effect and the untrained twin",
    "null": "above chance (null, BH)",
    "elbow": "elbow",
    "top_k": "top k",
    "top_share": "top 10 %",
    "threshold": "score > 0.001",
}

OPERATIONS = {
    "scale": "Scaled to a thousandth",
    "zero": "Set to zero",
    "mean": "Replaced by their mean",
}

SETS = {"selected": "Selected heads", "random": "Random heads", "least": "Lowest-scoring heads"}

STEERING_ARMS = {
    "steer": "Correct direction",
    "random_direction": "Random direction",
    "flipped": "Flipped direction",
    "shuffled": "Shuffled labels",
    "random_heads": "Random heads",
}

INPUT_ARMS = {
    "original": "Original image",
    "boxes": "Boxes drawn",
    "mask": "Objects masked",
    "boxes+mask": "Boxes and mask",
    "random_boxes": "Random boxes",
    "random_mask": "Random places masked",
    "added_boxes": "Boxes, beside the original",
    "added_mask": "Mask, beside the original",
    "added_boxes+mask": "Boxes and mask, beside the original (the paper's)",
    "added_random_boxes": "Random boxes and masks, beside the original",
    "coordinates": "Coordinates as text",
    "image_twice": "Image shown twice",
}

METRICS = {
    "SS": "Spatial Score",
    "SS_chance_corrected": "Above chance",
    "SS_ground": "Gained by seeing the image",
    "SS_chain": "Whole chains right",
}

TARGETS = {"true": "True functions", "control": "Control: shuffled functions", "text_only": "Step's text only"}

VERDICTS = {"supported": "✓", "contradicted": "✕", "inconclusive": "?", "not testable here": "∅"}


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The distinct `names`: first those in `known`, in its order, then the others, sorted."""
    present, known = set(names), list(known)
    return [name for name in known if name in present] + sorted(present - set(known))


def scorers_in_order(names: Iterable[str]) -> list[str]:
    """Distinct scorers: those of the study in the order of its table `scorers`, then others in the order given."""
    distinct, known = dict.fromkeys(names), _scorers.get()
    return [name for name in known if name in distinct] + [name for name in distinct if name not in known]


def functions_in_order(names: Iterable[str]) -> list[str]:
    """Distinct functions in the order of `FUNCTIONS`, then other groups."""
    return in_order(names, FUNCTIONS)


def plain(name: str, names: Mapping[str, str] | None = None) -> str:
    """`name` in words: from `names` if listed, else with underscores as spaces and a capital."""
    if names is not None and name in names:
        return names[name]
    words = str(name).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


_scorers: ContextVar[Mapping[str, tuple[str, str]]] = ContextVar("scorers", default=MappingProxyType({}))
"""(label, title) of each scorer of the study whose page is being built."""


@contextmanager
def scorer_names(table: pd.DataFrame) -> Iterator[None]:
    """Within the block scorers have the names of this results table `scorers` (columns scorer, label, title)."""
    names = zip(table["label"], table["title"], strict=True)
    token = _scorers.set(dict(zip(table["scorer"], names, strict=True)))
    try:
        yield
    finally:
        _scorers.reset(token)


def scorer(name: str) -> str:
    """A scorer's name for headings and tables, such as "Linear probe (A2)"."""
    return _scorers.get().get(name, ("", ""))[0] or plain(name)


def scorer_title(name: str) -> str:
    """A scorer's name for running text, such as "the linear probe"."""
    return _scorers.get().get(name, ("", ""))[1] or plain(name)


_functions: ContextVar[Mapping[str, str]] = ContextVar("functions", default=MappingProxyType({}))
"""Names of functions in place of their own, for the study whose page is being built."""


@contextmanager
def one_task(applies: bool) -> Iterator[None]:
    """Within the block, if it applies, the function under which questions without functions are stored is called this task."""
    token = _functions.set({SPATIAL[0]: TASK_TITLE, "spatial": TASK_TITLE} if applies else {})
    try:
        yield
    finally:
        _functions.reset(token)


def group(name: str) -> str:
    """The name for people of a function, of `final` and `spatial`, or of a type of question."""
    return plain(name, {**TITLES, **GROUPS, **_functions.get()})


def short(name: str) -> str:
    """A function's name in one word, for the axes of matrices."""
    return plain(name, {**SHORT_FUNCTIONS, **GROUPS, **_functions.get()})
