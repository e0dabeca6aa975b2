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


def test_the_sentences_and_a_picture_are_what_one_sees_first(page):
    assert page.locator("main > section").first.get_attribute("id") == "story"
    assert page.locator("#story .sentence:visible").count() == 4  # the last is on the redundant group
    assert page.locator("#story .panel:visible").count() == 3
    assert page.locator("#story .panel:visible .vega svg").count() == 1
    assert page.locator("#functions .judged-row:visible").count() == 9


def test_every_claim_has_its_verdicts(page):
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
        for section in ("story", "functions", "maps", "negative", "dose", "examples", "damage", "counts", "place", "overlap",
                        "positive"):  # fmt: skip
            assert page.locator(f"#{section} [data-scorer={scorer}]:visible").count() >= 1, section
        assert page.locator("#maps .vega:visible svg").count() == 8
        seen[scorer] = page.locator("#maps .vega:visible").first.get_attribute("aria-label")
    assert len(set(seen.values())) == 3
    assert page.told == []


def test_a_cell_of_a_map_tells_its_numbers(page):
    page.locator("#maps .vega:visible svg .mark-rect path").nth(3).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "score" in page.locator("#vg-tooltip-element").inner_text()


def test_a_head_that_is_clicked_is_marked_in_every_chart_picture_and_text(page):
    page.locator("input[name=scorer][value=paper]").check(force=True)
    page.wait_for_function(READY, timeout=60_000)
    rings = "[...document.querySelectorAll('#maps .vega svg path[stroke=\"#d6249f\"]')].filter(n => n.checkVisibility()).length"
    assert page.evaluate(rings) == 0
    page.locator("#story .chips:visible button.head", has_text="L5.H1").click()
    assert page.locator(".marked-bar").inner_text().startswith("L5.H1 is marked")
    page.wait_for_function(f"{rings} === 8")
    assert page.locator("#looking figure.marked").count() == 3
    assert page.locator("#looking .card.marked").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_function(f"{rings} === 0")
    assert page.locator(".marked:visible").count() == 0
    page.locator("#maps .vega:visible svg .mark-rect path").first.click()
    name = page.locator(".marked-bar span").inner_text().split()[0]
    assert (
        page.locator(f"button.head.marked[data-head='{name}']").count()
        == page.locator(f"[data-head='{name}'].marked").count()
    )
    page.wait_for_function(f"{rings} === 8")
    page.locator("[data-clear]").click()
    assert page.locator(".marked-bar").is_hidden()
    assert page.told == []


CLIPPED = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('.vega svg')) {
    const frame = chart.getBoundingClientRect();
    for (const text of chart.getClientRects().length ? chart.querySelectorAll('text') : []) {
      const place = text.getBoundingClientRect();
      const outside = place.width && (place.right > frame.right + 1.5 || place.left < frame.left - 1.5);
      if (outside || text.textContent.includes('…')) found.push(text.textContent);
    }
  }
  return found;
}"""
"""Texts of the visible charts that are cut off at the side, or shortened."""


@pytest.mark.parametrize("width", [480, 1024, 1920])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CLIPPED) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_is_wider_than_the_paper(page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 with margins of 1 cm
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    assert page.locator("#negative details[open]").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1280, "height": 900})
