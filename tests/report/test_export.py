import io

from PIL import Image

from headatlas.report.export import picture_spec, save_figures
from headatlas.report.page import Page
from headatlas.report.sections.heads import counts_section, maps_section
from headatlas.report.tables import read_run


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
