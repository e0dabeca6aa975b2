"""Render a run directory as `report.html`, a self-contained page.

jinja2 escapes all text, the angle brackets in the charts' JSON are escaped, and a content security policy forbids the page
any network access. Nothing is recomputed and no model is loaded.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert as vlc
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.blocks import all_scorers
from headatlas.report.charts.theme import CONFIG, printable
from headatlas.report.export import VEGA_LITE, save_figures, write_text
from headatlas.report.notices import WITHOUT_FINDINGS, at_chance, notices
from headatlas.report.one_task import for_the_task, is_one_task, only_the_task
from headatlas.report.page import Page
from headatlas.report.registry import build_sections
from headatlas.report.sections.heads import selected_heads
from headatlas.report.sections.story import opening
from headatlas.report.tables import Run, only, read_run


def render_report(run_dir: str | Path) -> Path:
    """Write `report.html` and `charts/*.svg`, `charts/*.png` from the files of a run directory.

    Args:
        run_dir: a run directory. Reads results/*.csv, results/examples.json, claims.json, settings.json and timings.json. Any
            of them may be missing; its section then says so.

    Returns:
        The path of report.html.

    Raises:
        HeadAtlasError: `run_dir` is not a run directory, or one of its files is damaged.
    """
    run = read_run(Path(run_dir))
    return write_page(build_page(run), run.path)


def write_page(page: Page, folder: Path) -> Path:
    """Write `folder/report.html` and the page's charts as files; return the path of report.html."""
    save_figures(page.figures(), folder / page.charts)
    return write_text(folder / "report.html", to_html(page))


def build_page(run: Run) -> Page:
    """The page of a study's report, as plain records."""
    with words.scorer_names(run.tables["scorers"]), words.one_task(is_one_task(run)):
        return _build(only_the_task(run) if is_one_task(run) else run)


def in_short(run: Run) -> list[str]:
    """The sentences with which the report opens, for the first scorer; of a model at chance the box that stands there instead."""
    if at_chance(run):
        (box,) = notices(run)
        return [f"{box.title}.", *box.lines]
    with words.scorer_names(run.tables["scorers"]), words.one_task(is_one_task(run)), debug_mode(False):
        story = opening(only_the_task(run) if is_one_task(run) else run)
    first, *others = story.sentences
    return [f"{first} {' '.join(story.heads)}".rstrip(), *others]


def _build(run: Run) -> Page:
    settings = run.settings
    # Altair's schema checks would take 90 % of the time; tests make them for every kind of chart.
    with debug_mode(False):
        sections = build_sections(run)
    if at_chance(run):
        sections = [section for section in sections if section.id in WITHOUT_FINDINGS]
    if is_one_task(run):
        sections = for_the_task(sections, run)
    model = str(settings.get("model") or run.path.name)
    about = (
        "Which of them does this task depend on?"
        if is_one_task(run)
        else "Which of them do questions about space depend on?"
    )
    return Page(
        title=f"The heads of {model} for one task" if is_one_task(run) else f"The spatial heads of {model}",
        subtitle="Attention heads are small units of a vision-language model; each gathers information from the picture and the "
        f"words. {about}",
        facts=_facts(run),
        summary=[],
        notices=notices(run),
        explorer=explorer_page(run.path),
        selected=_selected(run),
        sections=sections,
        scorers=[(name, words.scorer(name)) for name in all_scorers(run)],
    )


EXPLORER = "explorer"
"""The folder of a run that `headatlas explore MODEL --run RUN --export RUN/explorer` writes its site to."""


def explorer_page(folder: Path) -> str:
    """The page of the exported explorer in a run directory, relative to it; empty if there is none."""
    site = folder / EXPLORER
    return f"{EXPLORER}/index.html" if all((site / name).is_file() for name in ("index.html", "data.js")) else ""


def _selected(run: Run) -> dict[str, list[str]]:
    """The heads that each scorer selects for the spatial functions."""
    chosen = {scorer: selected_heads(run, scorer) for scorer in all_scorers(run)}
    return {scorer: sorted({head for f in SPATIAL for head in sets.get(f, ())}) for scorer, sets in chosen.items()}


def _ability(run: Run) -> str:
    """Right final answers, with the model's own earlier answers if they were used, and without the picture."""
    final = only(run.tables["baseline"], group_kind="final")
    for context in ("own", "gold"):
        seen, blind = (only(final, context=name)["accuracy"].dropna() for name in (context, f"{context}_no_image"))
        if len(seen) == 1:
            text = words.percent(seen.iloc[0])
            return f"{text} ({words.percent(blind.iloc[0])} without the picture)" if len(blind) == 1 else text
    return ""


def _facts(run: Run) -> list[tuple[str, str]]:
    settings = run.settings
    data = settings.get("data")
    data = data if isinstance(data, dict) else {"source": data}
    shape = settings.get("shape")
    facts = [("Model", settings.get("model")), ("Data", data.get("source"))]
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        facts.append(("Heads", f"{words.count(shape[0] * shape[1])} ({shape[0]} layers × {shape[1]})"))
    facts.append(("Right answers", _ability(run)))
    splits = data.get("questions")
    if isinstance(splits, dict):
        counts = [f"{name} {words.count(n)}" if isinstance(n, int) else f"{name} {n}" for name, n in splits.items()]
        facts.append(("Questions", ", ".join(counts)))
    facts.append(("Preset", settings.get("preset")))
    return [(name, str(value)) for name, value in facts if value]


def to_html(page: Page) -> str:
    """The page as one HTML document."""
    environment = Environment(
        loader=PackageLoader("headatlas.report"),
        autoescape=True,
        finalize=_for_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["heads"] = link_heads
    environment.filters["note"] = note_text
    environment.filters["whole"] = whole_words
    loader = environment.loader
    assert loader is not None
    own = {name: loader.get_source(environment, name)[0] for name in ("style.css", "report.js")}
    specs = {chart.name: chart.spec for figure in page.figures() for chart in figure.charts}
    html = environment.get_template("report.html.j2").render(
        page=page,
        style=Markup(own["style.css"]),
        script=_script(own["report.js"]),
        vega=_vega(),
        specs=embed_json(specs),
        selected=embed_json(page.selected),
        verdict_marks=words.VERDICTS,
        config=embed_json({**CONFIG, "background": "transparent"}),
    )
    return html.lstrip()


def link_heads(text: str) -> Markup:
    """`text`, escaped, with every head in it, such as L12.H5, as a button that marks this head everywhere on the page."""
    parts = _HEAD.split(_for_page(str(text)))
    return Markup("").join(
        Markup('<button type="button" class="head" data-head="{0}">{0}</button>').format(part) if i % 2 else part
        for i, part in enumerate(parts)
    )


def note_text(text: str) -> Markup:
    """As `link_heads`, with what stands between backticks as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a lone backtick
        return link_heads(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(_for_page(part)) if i % 2 else link_heads(part) for i, part in enumerate(parts)
    )


def whole_words(text: str) -> Markup:
    """`text`, escaped, whose lines break only at spaces: not inside a model's name such as ref-demo, unless it is too long."""
    parts = re.split(r"(\s+)", _for_page(str(text)))
    return Markup("").join(
        Markup('<span class="whole">{}</span>').format(part) if re.search(r"[-/]", part) else part for part in parts
    )


_HEAD = re.compile(r"\b([LVX]\d{1,4}\.H\d{1,4})\b")


def embed_json(value: Any) -> Markup:
    """JSON that is safe inside a <script> element: no `<`, `>`, `&` and no raw line separators."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _vega() -> Markup:
    return _script(vlc.javascript_bundle(vl_version=VEGA_LITE))  # pyright: ignore[reportCallIssue]


def _for_page(value: Any) -> Any:
    """Text for the page: a number and its per cent sign stay on one line, unprintable characters become spaces."""
    return printable(value).replace(" %", "\u00a0%") if type(value) is str else value


def _script(source: str) -> Markup:
    return Markup(source.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
