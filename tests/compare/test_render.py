"""The page that compares models: its content, its notes about gaps, and the page in Chromium."""

import json
import re
import shutil
from dataclasses import asdict

import pandas as pd
import pytest
from browser import READY, opened

from headatlas.compare.registry import COMPARISON_SECTIONS
from headatlas.compare.render import comparison_page, render_comparison
from headatlas.compare.tables import read_comparison
from headatlas.errors import HeadAtlasError
from headatlas.report.one_task import ONE_TASK
from headatlas.report.page import Page
from headatlas.report.render import to_html
from headatlas.results.comparison import comparison_tables

SECTIONS = ["claims", "models", "words", "task", "agreement", "counts", "place", "functions", "damage"]
EVIL = "</script><b>\x00\x1b\n\u2028\ufffe"


@pytest.fixture(scope="module")
def text(compared):
    return (compared / "report.html").read_text(encoding="utf-8")


def test_the_page_is_one_file_that_links_only_to_the_models_own_reports(text, compared):
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert re.findall(r"""<[a-z]+\s[^>]*(?:src|href)=["'](?!data:|#)([^"']*)""", own) == ["./one/report.html"]
    assert "default-src 'none'" in text
    assert re.findall(r'<section id="([a-z]+)">', text) == SECTIONS


def test_every_figure_is_saved_as_svg_and_png(text, compared):
    names = re.findall('<figure id="figure-([^"]+)">', text)
    assert len(set(names)) == len(names) > 25
    saved = {file.name for file in (compared / "comparison" / "charts").iterdir()}
    assert saved == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}


def test_nothing_is_missing_from_a_whole_comparison(text):
    shown = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    assert not re.search(r"\w+/\w+\.\w+ (has no rows|is missing|was not written)", shown)
    assert "not recorded" not in shown
    assert "nan" not in re.sub("<[^>]+>", " ", shown).lower().split()
    assert "All models got the same questions and the same settings." in shown


def test_each_claim_shows_each_models_verdict(text, compared):
    told = json.loads((compared / "two" / "claims.json").read_text())["claims"]
    badges = re.findall(r'<span class="badge ([a-z-]+)">', text)
    both = told + json.loads((compared / "one" / "claims.json").read_text())["claims"]
    assert sorted(badges) == sorted(entry["verdict"].replace(" ", "-") for entry in both)


def copy(compared, tmp_path):
    shutil.copytree(compared / "comparison", tmp_path / "comparison", ignore=shutil.ignore_patterns("charts"))
    return tmp_path


OWNER = {
    "accuracy": "task", "counts": "counts", "profiles": "place", "functions": "functions", "scorers": "agreement",
    "damage": "damage", "claims": "claims",
}  # fmt: skip
"""The section that shows a table."""


@pytest.mark.parametrize("name", OWNER)
def test_without_a_table_its_section_says_why(compared, tmp_path, name):
    out = copy(compared, tmp_path)
    (out / "comparison" / f"{name}.csv").unlink()
    section = COMPARISON_SECTIONS[OWNER[name]].build(read_comparison(out))
    html = to_html(Page("title", "subtitle", [], [], [section], []))
    assert f"comparison/{name}.csv was not written by this run" in html


def test_without_likeness_the_rest_stands(compared, tmp_path):
    out = copy(compared, tmp_path)
    for name in ("likeness", "metrics"):
        (out / "comparison" / f"{name}.csv").unlink()
    html = to_html(comparison_page(read_comparison(out)))
    assert "functions-likeness" not in html
    assert re.findall(r'<section id="([a-z]+)">', html) == SECTIONS


def test_what_differs_is_said_before_anything_else_depends_on_it(compared, tmp_path):
    out = copy(compared, tmp_path)
    rows = [
        ("data.fingerprint", model, told, "the questions themselves") for model, told in (("one", "a"), ("two", "b"))
    ]
    table = pd.DataFrame(rows, columns=comparison_tables()["differences"].names)
    table.to_csv(out / "comparison" / "differences.csv", index=False)
    section = COMPARISON_SECTIONS["models"].build(read_comparison(out))
    html = to_html(Page("title", "subtitle", [], [], [section], []))
    assert "did not get the same questions" in html
    assert "data.fingerprint" in html
    assert SECTIONS.index("models") < SECTIONS.index("task")


def test_no_comparison_no_page(tmp_path):
    with pytest.raises(HeadAtlasError, match="run `headatlas compare` first"):
        render_comparison(tmp_path)


def test_no_name_breaks_out_of_the_page_or_ends_the_process(compared, tmp_path):
    """vl-convert aborts on control characters, so this test would take pytest down with it."""
    out = copy(compared, tmp_path)
    for file in (out / "comparison").glob("*.csv"):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        for column in {"model", "model_a", "model_b", "title", "family"} & set(table.columns):
            table[column] = table[column].replace({"two": f"two {EVIL}", "synthetic": f"synthetic {EVIL}"})
        if "scorer" in table.columns:
            table = table[table["scorer"].isin(["paper", ""])]
        table.to_csv(file, index=False)
    page = render_comparison(out).read_text(encoding="utf-8")
    assert "</script><b>" not in re.sub(r"<script>.*?</script>\n", "", page, flags=re.S)
    assert "\x00" not in page
    assert len(list((out / "comparison" / "charts").glob("*.png"))) > 10


def test_in_a_browser_everything_is_drawn_and_nothing_said(compared):
    with opened(compared / "report.html") as page:
        assert page.told == []
        remote = [url for url in page.asked if not url.startswith("data:")]
        assert remote == [(compared / "report.html").as_uri()]
        first = page.locator(".vega:visible")
        assert first.count() > 25
        assert page.locator(".vega:visible[data-state=drawn] :is(svg, canvas)").count() == first.count()
        for scorer in ("linear", "ablation", "paper"):
            page.locator(f"input[name=scorer][value={scorer}]").check(force=True)
            page.wait_for_function(READY, timeout=60_000)
            assert page.locator(".vega[data-state=failed]").count() == 0
            for section in ("counts", "place", "functions", "damage"):
                assert page.locator(f"#{section} [data-scorer={scorer}]:visible").count() >= 1, section
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(200)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.told == []


def test_the_two_lines_of_a_profile_are_the_two_models(compared):
    section = COMPARISON_SECTIONS["place"].build(read_comparison(compared))
    figure = next(f for f in Page("", "", [], [], [section]).figures() if f.name == "place-score-paper")
    assert [s.text for s in figure.swatches] == ["one", "two"]
    (rows,) = figure.charts[0].spec["datasets"].values()
    assert {row["series"] for row in rows} == {"one", "two"}
    for name in ("one", "two"):
        assert sum(row["value"] for row in rows if row["series"] == name) == pytest.approx(1, abs=1e-3)


def test_a_scorer_that_finds_no_heads_in_any_model_is_a_note_not_an_empty_figure(compared, tmp_path):
    """As in two quick studies: too few questions for exact ablation to select a head."""
    out = tmp_path / "none"
    shutil.copytree(compared, out)
    path = out / "comparison" / "damage.csv"
    table = pd.read_csv(path, keep_default_na=False)
    scorer = table["scorer"].iloc[0]
    table.loc[table["scorer"] == scorer, ["k", "drop"]] = 0
    table.to_csv(path, index=False)
    assert render_comparison(out).exists()
    assert "nothing to draw, because no function has heads to silence" in (out / "report.html").read_text(
        encoding="utf-8"
    )
    assert all(figure.charts for figure in comparison_page(read_comparison(out)).figures())


def test_studies_of_one_task_are_called_so(compared, tmp_path):
    """The function under which such questions are stored is not named, and what compares functions is left out."""
    run = read_comparison(copy(compared, tmp_path))
    run.tables["models"]["functions"] = ONE_TASK
    page = comparison_page(run)
    assert page.title == "The heads for one task of one and two"
    assert "one function: this task" in page.summary[0]
    assert [section.id for section in page.sections] == ["claims", "models", "words", "task"]
    (task,) = (section for section in page.sections if section.id == "task")
    words = str(asdict(task))
    assert "This task" in words
    assert "Spatial perception" not in words
