from dataclasses import replace

from headatlas.report.page import Figure, Note
from headatlas.report.registry import SECTIONS
from headatlas.report.tables import read_run


def blocks(run, name, scorer="paper"):
    (switched,) = SECTIONS[name].build(run).blocks
    return switched.views[scorer]


def without_heads(run, name, column, function=None):
    """The run in which this function, or every one, has no heads that could be silenced."""
    rows = run.tables[name].copy()
    where = rows[column] == function if function else rows[column] != ""
    rows.loc[where, ["k", "drop"]] = (0, 0.0)
    return replace(run, tables={**run.tables, name: rows})


def test_functions_without_heads_are_left_out_and_named(run_dir):
    run = read_run(run_dir)
    for name, column in (("negative", "function"), ("damage", "heads_of")):
        figure, *_, note = blocks(without_heads(run, name, column, "math_reasoning"), name)
        assert isinstance(figure, Figure)
        for chart in figure.charts:
            (rows,) = (
                chart.spec["datasets"].values()
                if len(chart.spec["datasets"]) == 1
                else [value for key, value in chart.spec["datasets"].items() if key.startswith("rows-")]
            )
            assert "Math" not in {row["row"] for row in rows}
        assert note == Note("Left out, because no head was selected: math reasoning.", weak=True)


def test_without_any_heads_no_loss_of_zero_is_drawn(run_dir):
    run = read_run(run_dir)
    for name, column in (("negative", "function"), ("damage", "heads_of")):
        (note,) = blocks(without_heads(run, name, column), name)
        assert "none was silenced" in note.text
