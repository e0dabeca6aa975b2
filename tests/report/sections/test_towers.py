"""Maps of several towers on one scale, and one line where only the language model was studied."""

from headatlas.report.page import Figure, Table
from headatlas.report.sections.towers import towers_section
from headatlas.report.tables import read_run


def test_maps_stand_side_by_side(run_dir):
    made = towers_section(read_run(run_dir))
    figures = [block for block in made.blocks if isinstance(block, Figure)]
    assert [[chart.title.split(" (")[0] for chart in figure.charts] for figure in figures] == [
        ["Language model", "Vision tower"]
    ] * 2
    table = next(block for block in made.blocks if isinstance(block, Table))
    assert table.rows[0][:4] == ("Language model", "Spatial perception", "2", "L0.H0 L0.H1")
    names = [chart.spec for figure in figures for chart in figure.charts]
    assert "'V' + datum.layer" in str(names[1])


def test_the_language_model_alone_is_one_line(run_dir):
    for name in ("towers", "tower_sets"):
        (run_dir / "results" / f"{name}.csv").unlink()
    (only,) = towers_section(read_run(run_dir)).blocks
    assert "--tower all" in only.text
