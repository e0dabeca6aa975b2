"""Render a run directory as `report.html`, a self-contained page.

jinja2 escapes all text, the angle brackets in the charts' JSON are escaped, and a content security policy forbids the page
any network access. Nothing is recomputed and no model is loaded.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert as vlc
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headatlas.report import words
from headatlas.report.blocks import all_scorers
from headatlas.report.charts.theme import CONFIG, printable
from headatlas.report.export import VEGA_LITE, save_figures, write_text
from headatlas.report.one_task import for_the_task, is_one_task, only_the_task
from headatlas.report.page import Page
from headatlas.report.registry import build_sections
from headatlas.report.summary import summarise
from headatlas.report.tables import Run, read_run


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


def _build(run: Run) -> Page:
    settings = run.settings
    # Altair's schema checks would take 90 % of the time; tests make them for every kind of chart.
    with debug_mode(False):
        sections = build_sections(run)
    if is_one_task(run):
        sections = for_the_task(sections, run)
    model = str(settings.get("model") or run.path.name)
    return Page(
        title=f"The heads of {model} for one task" if is_one_task(run) else f"The spatial heads of {model}",
        subtitle="A HeadAtlas study: which attention heads of this vision-language model do the spatial work, are they causal, "
        "and does acting on them help?",
        facts=_facts(settings),
        summary=summarise(run),
        sections=sections,
        scorers=[(name, words.scorer(name)) for name in all_scorers(run)],
    )


def _facts(settings: dict[str, Any]) -> list[tuple[str, str]]:
    data = settings.get("data")
    data = data if isinstance(data, dict) else {"source": data}
    shape = settings.get("shape")
    facts = [("Model", settings.get("model")), ("Data", data.get("source"))]
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        facts.append(("Heads", f"{shape[0] * shape[1]:,} ({shape[0]} layers × {shape[1]})"))
    splits = data.get("questions")
    if isinstance(splits, dict):
        counts = [f"{name} {n:,}" if isinstance(n, int) else f"{name} {n}" for name, n in splits.items()]
        facts.append(("Questions", ", ".join(counts)))
    facts.append(("Preset", settings.get("preset")))
    if settings.get("quick"):
        facts.append(("Size", "quick run: small numbers, wide intervals"))
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
        config=embed_json(CONFIG),
    )
    return html.lstrip()


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
