import io
from dataclasses import replace

import pytest
from PIL import Image

from headatlas.report import SECTIONS, read_run
from headatlas.report.export import file_name, picture_spec, save_figures
from headatlas.report.page import Page
from headatlas.report.sections.heads import counts_section, maps_section


def test_a_picture_has_its_title_its_legend_and_its_numbers(run_dir, tmp_path):
    figures = {figure.name: figure for figure in Page("", "", [], [], [counts_section(read_run(run_dir))]).figures()}
    svg, png = save_figures([figures["counts-paper"]], tmp_path)
    text = svg.read_text(encoding="utf-8")
    for word in ("Selected heads per function", "Spatial function", "Relational reasoning"):
        assert word in text
    width = Image.open(io.BytesIO(png.read_bytes())).width
    assert width > 1000


def test_small_charts_become_one_picture_four_a_row(run_dir):
    figures = {figure.name: figure for figure in Page("", "", [], [], [maps_section(read_run(run_dir))]).figures()}
    spec = picture_spec(figures["maps-paper"])
    assert spec["columns"] == 4
    assert [part["title"].split(" (")[0] for part in spec["concat"]][:2] == [
        "Spatial perception",
        "Relational reasoning",
    ]
    assert all(part["width"] == 220 for part in spec["concat"])
    assert figures["maps-paper"].charts[0].spec["width"] == "container", "the page's own spec must stay as it was"


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "a\x00b", "..", "CON\\x", "ä"])
def test_a_name_out_of_data_is_never_a_path(run_dir, tmp_path, name):
    figure = replace(Page("", "", [], [], [SECTIONS["counts"].build(read_run(run_dir))]).figures()[0], name=name)
    folder = tmp_path / "deep" / "charts"
    written = save_figures([figure], folder)
    assert {path.parent for path in written} == {folder}
    assert sorted(path for path in tmp_path.rglob("*.svg")) == [written[0]]


def test_different_names_are_different_files():
    assert file_name("counts-paper") == "counts-paper"
    assert len({file_name(name) for name in ("a/b", "a_b", "a\\b", "a b")}) == 4
