"""The parts that a report's page is made of: plain records that sections fill and the template draws.

All text in them is unescaped; the template escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True)
class Chart:
    """One chart: `spec` is Vega-Lite without `config`; `label` is what a screen reader says. Names are unique in a page."""

    name: str
    spec: dict[str, Any]
    label: str
    title: str = ""
    renderer: Literal["svg", "canvas"] = "svg"


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


@dataclass(frozen=True)
class Note:
    """A sentence or two between figures; `weak` for the reason why something is missing."""

    text: str
    weak: bool = False
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class PerScorer:
    """Blocks that change with the scorer buttons: one tuple of blocks for each scorer."""

    views: dict[str, tuple[Block, ...]]
    kind: Literal["per_scorer"] = "per_scorer"


Block: TypeAlias = Figure | Table | Note | PerScorer


@dataclass(frozen=True)
class Section:
    """One section: a title, an introduction and blocks. `kind` picks the part of the template that draws `data`, if any.

    A section from outside the package leaves `kind` and `data` out.
    """

    id: str
    title: str
    intro: str
    blocks: tuple[Block, ...] = ()
    kind: Literal["blocks", "claims", "verdicts", "glossary", "examples", "looking"] = "blocks"
    data: Any = None
    short: str = ""
    """The title in the table of contents, if it is shorter."""

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
    charts: str = "charts"
    """The folder of the charts as files, relative to the page."""

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
                elif isinstance(block, PerScorer):
                    for view in block.views.values():
                        found.extend(walk(view))
            return found

        return [figure for section in self.sections for figure in walk(section.blocks)]
