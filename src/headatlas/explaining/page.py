"""An explanation as HTML and as a chart. All text is escaped by the template; pictures are inside the page."""

from __future__ import annotations

import base64
import io
import math
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import altair as alt
import jinja2
import pandas as pd
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.explaining.groups import HIDDEN
from headatlas.heads import Head
from headatlas.report.charts.theme import BLUE, CONFIG, ORANGE, RAMP, color_scale, printable

if TYPE_CHECKING:
    from headatlas.explaining.alternatives import Alternative
    from headatlas.explaining.effects import HeadEffects
    from headatlas.explaining.groups import Groups
    from headatlas.vlm.attention import AttentionMap

SHOWN = 6
"""Number of heads that the page shows with a picture."""
LOOKS = 0.05
"""A head's map is shown only if at least this share of its attention is on the picture; else it would mislead."""
SIDE = 300
"""Longer side of the page's pictures, pixels."""


@runtime_checkable
class Explained(Protocol):
    """The members of an `Explanation` that the page uses."""

    vlm: Any
    answer: str
    said: str
    alternatives: list[Alternative]
    effects: HeadEffects
    groups: Groups | None

    @property
    def question(self) -> str:
        """The user's last words."""
        ...

    @property
    def picture(self) -> Image.Image | None:
        """The first picture."""
        ...

    @property
    def p(self) -> float:
        """Probability of the explained answer."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row per head."""
        ...

    def attention(self, head: Any = None) -> AttentionMap:
        """Attention of one head, or of all."""
        ...


def page(explained: Explained) -> str:
    """The whole page."""
    return _template("page.html.j2").render(body=_body(explained), css=_css(), title=explained.question)


def fragment(explained: Explained) -> str:
    """The same without the frame of a page, for notebooks."""
    return f"<style>{_css()}</style>{_body(explained)}"


def chart(explained: Explained) -> Any:
    """The head grid by effect, and the answers with their probabilities."""
    rows = pd.DataFrame(
        [
            (head.tower, head.layer, head.head, float(effect), str(head), says)
            for head, effect, says in zip(
                explained.effects.heads, explained.effects.effect, explained.effects.says, strict=True
            )
        ],
        columns=["tower", "layer", "head", "effect", "name", "says"],
    )
    rows["layer"] = rows["tower"] + rows["layer"].astype(str)
    order = list(dict.fromkeys(rows["layer"]))
    grid = (
        alt.Chart(rows, title="Effect of each head on the answer, nats")
        .mark_rect(cornerRadius=2)
        .encode(
            x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("layer:O", title="layer", sort=order),
            color=alt.Color("effect:Q", scale=color_scale(_largest(explained)), legend=alt.Legend(title=None)),
            tooltip=["name", alt.Tooltip("effect", format="+.3f"), "says"],
        )
        .properties(width=26 * rows["head"].nunique(), height=26 * len(order))
    )
    answers = pd.DataFrame([(printable(one.text), one.p) for one in explained.alternatives], columns=["answer", "p"])
    bars = (
        alt.Chart(answers, title=printable(explained.question)[:60])
        .mark_bar(cornerRadius=2, color=BLUE)
        .encode(
            x=alt.X("p:Q", title="probability", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("answer:N", title=None, sort=None),
            tooltip=["answer", alt.Tooltip("p", format=".1%")],
        )
        .properties(width=220, height=26 * len(answers))
    )
    return alt.hconcat(grid, bars).configure(**{k: v for k, v in CONFIG.items() if k != "background"})


def _body(explained: Explained) -> str:
    table = explained.table
    largest = _largest(explained)
    layers: dict[str, list[dict[str, Any]]] = {}
    effect = dict(zip(explained.effects.heads, explained.effects.effect.tolist(), strict=True))
    changed = dict(zip(explained.effects.heads, explained.effects.changed.tolist(), strict=True))
    for head in explained.effects.heads.sorted():
        cell = {
            "name": str(head),
            "x": head.head,
            "color": shade(effect[head], largest),
            "title": f"{head}: {effect[head]:+.2f} nats",
        }
        layers.setdefault(f"{head.tower}{head.layer}", []).append({**cell, "changed": changed[head]})
    top = [row for row in table.head(SHOWN).to_dict("records") if row["effect"] > 0]
    for row in top:
        row["picture"] = _overlay(explained, row["head"]) if row["on_picture"] >= LOOKS else None
        row["words"] = [] if row["picture"] else _words(explained, row["head"])
        row["share"] = min(1.0, row["effect"] / top[0]["effect"])
    groups = explained.groups
    sets = []
    for number, row in enumerate([] if groups is None else groups.sets.to_dict("records"), 1):
        steps = groups.path[groups.path["set"] == number].to_dict("records")  # pyright: ignore[reportOptionalMemberAccess]
        sets.append({**row, "steps": steps})
    pairs = (
        []
        if groups is None
        else [row for row in groups.pairs.head(5).to_dict("records") if row["interaction"] >= HIDDEN]
    )
    return _template("body.html.j2").render(
        found=explained,
        picture=None if explained.picture is None else _uri(_small(explained.picture)),
        top=top,
        layers=layers,
        widest=max(head.head for head in explained.effects.heads) + 1,
        n_changed=int(explained.effects.changed.sum()),
        sets=sets,
        pairs=pairs,
        hidden="" if groups is None else str(groups.hidden),
        ramp=RAMP,
        largest=largest,
        colors=(BLUE, ORANGE),
    )


def shade(value: float, largest: float) -> str:
    """The colour of the diverging ramp at `value`, which runs from -largest to largest, as `#rrggbb`."""
    place = (max(-1.0, min(1.0, value / largest)) + 1) / 2 * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    part = place - low
    a, b = (tuple(int(RAMP[i][j : j + 2], 16) for j in (1, 3, 5)) for i in (low, low + 1))
    return "#" + "".join(f"{round(p + (q - p) * part):02x}" for p, q in zip(a, b, strict=True))


def _largest(explained: Explained) -> float:
    """End of the colour scale: the third largest effect, so that one or two heads do not make all others pale."""
    sizes = sorted(abs(explained.effects.effect).tolist(), reverse=True)
    return max(sizes[min(2, len(sizes) - 1)], 0.05)


def _words(explained: Explained, head: str) -> list[str]:
    """The tokens of the text that a head looks at most."""
    if Head.parse(head).tower != "L":
        return []
    try:
        rows = explained.attention(head).top_tokens(n=3)
    except HeadAtlasError:
        return []
    return [
        f"{token.strip() or repr(token)} {percent(weight)}"
        for token, weight in zip(rows["token"], rows["weight"], strict=True)
    ]


def _overlay(explained: Explained, head: str) -> str | None:
    try:
        return (
            _uri(explained.attention(head).overlay(side=SIDE))
            if Head.parse(head).tower == "L" and explained.picture
            else None
        )
    except HeadAtlasError:  # the family's image tokens have no known place
        return None


def _small(image: Image.Image) -> Image.Image:
    small = image.convert("RGB")
    small.thumbnail((2 * SIDE, 2 * SIDE))
    return small


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def signed(value: float, digits: int = 2) -> str:
    """`+0.12`, `−0.12` with a true minus, and `0.00` without a sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\u2212")


def percent(p: float) -> str:
    """A probability as `12 %`, with more digits near 0 and 1: `0.3 %`, `99.97 %`."""
    if not math.isfinite(p):
        return "–"
    near = min(p, 1 - p)
    if near < 5e-5:
        return "<0.01 %" if p < 0.5 else ">99.99 %"
    return f"{100 * p:.{0 if near >= 0.01 else 1 if near >= 0.002 else 2}f} %"


@lru_cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("headatlas.explaining")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"signed": signed, "percent": percent}
    return environment


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)


def _css() -> str:
    return (resources.files("headatlas.explaining") / "templates" / "explain.css").read_text(encoding="utf-8")
