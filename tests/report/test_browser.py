"""The report as a reader meets it: in Chromium, from a file, without network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import READY, opened
from playwright.sync_api import Page

from headatlas.report import words


@pytest.fixture(scope="module")
def page(reported: Path) -> Iterator[Page]:
    with opened(reported / "report.html") as page:
        yield page


def test_it_opens_without_a_word_on_the_console_and_without_network(page, reported):
    assert page.told == []
    remote = [url for url in page.asked if not url.startswith("data:")]
    assert remote == [(reported / "report.html").as_uri()]


def test_every_visible_chart_is_drawn(page):
    drawn = page.locator(".vega:visible")
    assert drawn.count() > 30
    assert page.locator(".vega:visible[data-state=drawn] :is(svg, canvas)").count() == drawn.count()
    assert page.locator(".vega[data-state=failed]").count() == 0


def test_the_claims_are_what_one_sees_first(page):
    assert page.locator("main > section").first.get_attribute("id") == "claims"
    assert page.locator("main h2").first.inner_text() == "What the paper claims, and what was found here"
    assert page.locator("#claims .claim-row .badge").count() == 16
    verdicts = page.locator("#claims .badge").all_inner_texts()
    assert {verdict.strip("✓✕?∅ \n") for verdict in verdicts} == set(words.VERDICTS)


def test_the_switch_changes_every_section_that_depends_on_the_scorer(page):
    seen = {}
    for scorer in ("paper", "linear", "ablation"):
        page.locator(f"input[name=scorer][value={scorer}]").check(force=True)
        page.wait_for_function(READY, timeout=60_000)
        views = page.locator("[data-scorer]:visible")
        assert set(views.evaluate_all("nodes => nodes.map(n => n.dataset.scorer)")) == {scorer}
        for section in ("maps", "counts", "place", "overlap", "negative", "damage", "dose", "positive"):
            assert page.locator(f"#{section} [data-scorer={scorer}]:visible").count() >= 1, section
        assert page.locator("#maps .vega:visible svg").count() == 8
        seen[scorer] = page.locator("#maps .vega:visible").first.get_attribute("aria-label")
    assert len(set(seen.values())) == 3
    assert page.told == []


def test_a_cell_of_a_map_tells_its_numbers(page):
    page.locator("#maps .vega:visible svg .mark-rect path").nth(3).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "score" in page.locator("#vg-tooltip-element").inner_text()


@pytest.mark.parametrize("width", [400, 1024, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})
