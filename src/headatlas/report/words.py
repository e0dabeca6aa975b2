"""Plain words for the names that tables use, and the one place where numbers are written for people.

A name that is not listed here is shown with spaces for underscores, so that a new arm or question type needs no change here. The
names of scorers come from the study's table `scorers`: see `scorer_names`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from types import MappingProxyType

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, TASK_TITLE, TITLES

MISSING = "–"

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


def known(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, digits: int = 2) -> str:
    """A number with `digits` decimals, a true minus sign and no "-0.0"; `MISSING` if it is not a finite number."""
    if not known(value):
        return MISSING
    text = f"{float(value):,.{digits}f}"  # type: ignore[arg-type]
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def count(value: object) -> str:
    """A whole number with thousands separated."""
    return number(value, 0)


def percent(value: object, digits: int = 1) -> str:
    """A share (0..1) as per cent, such as "12.3 %"."""
    return f"{number(100 * value, digits)} %" if known(value) else MISSING  # type: ignore[operator]


def points(value: object, digits: int = 1) -> str:
    """A difference of shares (-1..1) as signed percentage points without the unit, such as "+3.1"."""
    if not known(value):
        return MISSING
    text = number(100 * value, digits)  # type: ignore[operator]
    return f"+{text}" if text[0] != "−" and any(digit in text for digit in "123456789") else text


def interval(low: str, high: str) -> str:
    """Two formatted bounds as "low to high"; empty if one is missing."""
    return "" if MISSING in (low, high) else f"{low} to {high}"


def with_interval(value: str, span: str) -> str:
    """A formatted number and its interval in brackets, if there is one."""
    return f"{value} ({span})" if span else value


def p_value(value: object) -> str:
    """A p-value: three decimals, or `< 0.001`."""
    if not known(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]


def seconds(value: object) -> str:
    """A duration in the unit a person would use."""
    if not known(value):
        return MISSING
    if value < 60:  # type: ignore[operator]
        return f"{value:.1f} s"
    whole = round(value)  # type: ignore[call-overload]
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
