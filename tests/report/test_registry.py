"""A section from outside the package appears in the report without a change to any file of it."""

from dataclasses import replace

import pytest

from headatlas.report import SECTIONS, Note, Section, read_run, section
from headatlas.report.registry import build_sections
from headatlas.report.render import build_page, to_html


@pytest.fixture
def gaze():
    @section("gaze", order=75)
    def gaze_section(run):
        return Section("gaze", "Where do the heads look?", "", (Note(f"{len(run.tables['scores'])} scores"),))

    yield
    SECTIONS.remove("gaze")


def test_a_section_stands_where_its_order_says(run_dir, gaze):
    run = read_run(run_dir)
    ids = [one.id for one in build_sections(run)]
    assert ids[ids.index("dose") : ids.index("activation") + 1] == ["dose", "gaze", "activation"]
    html = to_html(build_page(run))
    assert '<a href="#gaze">' in html
    assert f"{len(run.tables['scores'])} scores" in html


def test_without_an_order_it_stands_before_the_worked_examples(run_dir):
    section("mine")(lambda run: Section("mine", "Mine", ""))
    try:
        ids = [one.id for one in build_sections(read_run(run_dir))]
    finally:
        SECTIONS.remove("mine")
    assert ids[ids.index("mine") + 1] == "examples"


def test_an_entry_point_adds_a_section(run_dir, monkeypatch):
    import headatlas.registry
    from headatlas.registry import Registry
    from headatlas.report.registry import SectionEntry

    class Point:
        name = "theirs"

        def load(self):
            return SectionEntry("theirs", lambda run: Section("theirs", "Theirs", ""), 5)

    groups = []
    monkeypatch.setattr(headatlas.registry, "entry_points", lambda group: groups.append(group) or [Point()])
    registry = Registry("report section", ("headatlas.report.sections.claims",))
    assert "theirs" in registry
    assert groups == ["headatlas.report_sections"]


def test_the_switch_stands_above_the_first_section_that_changes_with_the_scorer(run_dir):
    page = build_page(read_run(run_dir))
    assert page.switch_before == "story"
    later = replace(page, sections=[one for one in page.sections if one.id not in ("story", "functions", "claims")])
    assert later.switch_before == "maps"
