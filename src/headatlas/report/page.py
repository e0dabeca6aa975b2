"""The parts that a report's page is made of: plain records that sections fill and the template draws.

All text in them is unescaped; the template escapes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from headatlas.printing import brief


@dataclass(frozen=True)
class Chart:
    """One chart: `spec` is Vega-Lite without `config`; `label` is what a screen reader says. Names are unique in a page."""

    name: str
    spec: dict[str, Any]
    label: str
    title: str = ""
    renderer: Literal["svg", "canvas"] = "svg"

    __repr__ = brief


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend, drawn as the mark that the charts use."""

    text: str
    color: str
    shape: str = "circle"


@dataclass(frozen=True)
class Ramp:
    """The legend of a colour scale: CSS colours from low to high, with the words at its ends and middle."""

    colors: tuple[str, ...]
    low: str
    middle: str
    high: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Charts that share a heading, a caption and a legend. `name` is unique in a page; the file in charts/ is named after it."""

    name: str
    charts: tuple[Chart, ...]
    title: str = ""
    caption: str = ""
    swatches: tuple[Swatch, ...] = ()
    ramp: Ramp | None = None
    min_width: int = 0
    """Least width of one chart in CSS pixels; 0 puts one chart in each row."""
    kind: Literal["figure"] = "figure"

    __repr__ = brief


@dataclass(frozen=True)
class Table:
    """Rows of formatted cells; the first `n_text` columns hold words, the others numbers. `folded` hides it behind its title."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    caption: str = ""
    n_text: int = 1
    folded: bool = False
    kind: Literal["table"] = "table"

    __repr__ = brief


@dataclass(frozen=True)
class Note:
    """A sentence or two between figures; `weak` for the reason why something is missing."""

    text: str
    weak: bool = False
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class Shot:
    """A small picture: `image` is a data URI, empty if there is none; `head` is the head whose attention it shows, if any."""

    image: str
    text: str
    head: str = ""


@dataclass(frozen=True)
class Gauge:
    """One number as a small picture: a dot at `value` with its interval, beside the same for a control.

    Attributes:
        low_end, high_end: ends of the axis.
        value, low, high: the number and its 95 % interval; NaN for what is not known.
        control, control_low, control_high: the same of the control, drawn in grey.
        bound: where the claimed side begins; NaN for none.
        label: what a screen reader says.
    """

    low_end: float
    high_end: float
    value: float
    label: str
    low: float = math.nan
    high: float = math.nan
    control: float = math.nan
    control_low: float = math.nan
    control_high: float = math.nan
    bound: float = math.nan

    def at(self, x: float) -> float | None:
        """The place of `x` on the axis in per cent of its length, 0 to 100; None if `x` is not known."""
        if not (math.isfinite(x) and self.high_end > self.low_end):
            return None
        return round(100 * min(max((x - self.low_end) / (self.high_end - self.low_end), 0.0), 1.0), 2)


@dataclass(frozen=True)
class Bar:
    """One bar of the opening picture: a share 0..1 (NaN if unknown) with its text; `tone` is `intact`, `without` or `control`."""

    name: str
    share: float
    text: str
    tone: str


@dataclass(frozen=True)
class Story:
    """The opening of a report: three or four sentences, and one picture in three panels.

    Attributes:
        sentences: which heads, what they look at, what happens without them; heads that stand in for each other, if any.
        heads: the heads that they are about, best first.
        map: the map of all heads; None without scores.
        shots: what some of these heads look at.
        shots_title, shots_caption: above and below them.
        bars: accuracy with all heads, without these, and without random ones.
        bars_title, bars_caption: above and below them.
    """

    sentences: tuple[str, ...]
    heads: tuple[str, ...] = ()
    map: Figure | None = None
    shots: tuple[Shot, ...] = ()
    shots_title: str = ""
    shots_caption: str = ""
    bars: tuple[Bar, ...] = ()
    bars_title: str = ""
    bars_caption: str = ""
    kind: Literal["story"] = "story"


@dataclass(frozen=True)
class Judged:
    """One verdict: its words, one number with its interval, and the number as a picture beside its control."""

    verdict: str
    number: str
    note: str
    gauge: Gauge | None = None

    @property
    def tone(self) -> str:
        """The CSS class of the verdict."""
        return self.verdict.replace(" ", "-")


@dataclass(frozen=True)
class FunctionVerdicts:
    """A row for each function: (title, whether it is spatial, its selected heads, a verdict for each of `questions`)."""

    questions: tuple[str, ...]
    rows: tuple[tuple[str, bool, tuple[str, ...], tuple[Judged, ...]], ...]
    kind: Literal["function_verdicts"] = "function_verdicts"


@dataclass(frozen=True)
class Examples:
    """Worked examples, each a dict for the template; `folded` hides them behind its title."""

    entries: tuple[dict[str, Any], ...]
    title: str = ""
    folded: bool = False
    kind: Literal["examples"] = "examples"


@dataclass(frozen=True)
class Notice:
    """A box above everything else: what a reader must know first. `tone` is `stop` (there are no findings) or `care`."""

    title: str
    lines: tuple[str, ...]
    tone: Literal["stop", "care"] = "care"


@dataclass(frozen=True)
class PerScorer:
    """Blocks that change with the scorer buttons: one tuple of blocks for each scorer."""

    views: dict[str, tuple[Block, ...]]
    kind: Literal["per_scorer"] = "per_scorer"

    __repr__ = brief


Block: TypeAlias = Figure | Table | Note | Story | FunctionVerdicts | Examples | PerScorer


@dataclass(frozen=True)
class Section:
    """One section: a title, an introduction and blocks. `kind` picks the part of the template that draws `data`, if any.

    A section from outside the package leaves `kind` and `data` out.
    """

    id: str
    title: str
    intro: str
    blocks: tuple[Block, ...] = ()
    kind: Literal["blocks", "claims", "verdicts", "glossary", "looking"] = "blocks"
    data: Any = None
    part: str = ""
    """The title of a new part of the report that begins with this section."""
    short: str = ""
    """The title in the table of contents, if it is shorter."""

    __repr__ = brief

    @property
    def by_scorer(self) -> bool:
        """Whether anything in it changes with the scorer buttons."""
        return any(isinstance(block, PerScorer) for block in self.blocks)


@dataclass
class Page:
    """The whole report."""

    title: str
    subtitle: str
    facts: list[tuple[str, str]]
    summary: list[str]
    sections: list[Section] = field(default_factory=list)
    scorers: list[tuple[str, str]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    selected: dict[str, list[str]] = field(default_factory=dict)
    """The heads that each scorer selects for the spatial functions; pictures of them are framed."""
    explorer: str = ""
    """The page of the exported explorer, relative to the report; empty if there is none."""
    charts: str = "charts"
    """The folder of the charts as files, relative to the page."""

    @property
    def story_first(self) -> bool:
        """Whether the page opens with a story; the facts then stand below it."""
        return bool(self.sections) and self.sections[0].id == "story"

    @property
    def switch_before(self) -> str:
        """The id of the first section that changes with the scorer buttons; the buttons stand above it."""
        return next((section.id for section in self.sections if section.by_scorer), "")

    def figures(self) -> list[Figure]:
        """Every figure of every section and scorer, in order."""

        def walk(blocks: tuple[Block, ...]) -> list[Figure]:
            found: list[Figure] = []
            for block in blocks:
                if isinstance(block, Figure):
                    found.append(block)
                elif isinstance(block, Story) and block.map is not None:
                    found.append(block.map)
                elif isinstance(block, PerScorer):
                    for view in block.views.values():
                        found.extend(walk(view))
            return found

        return [figure for section in self.sections for figure in walk(section.blocks)]
