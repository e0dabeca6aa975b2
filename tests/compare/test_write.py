"""The files that a comparison writes, and those that it leaves unchanged."""

import pandas as pd
import pytest
from compare_runs import keep_scorers

from headatlas.compare import compare_runs, refuse_comparison
from headatlas.errors import HeadAtlasError
from headatlas.results.comparison import comparison_tables


def test_tables_charts_and_page(one, other, tmp_path):
    for run in (one, other):
        keep_scorers(run, "ablation", "paper")
    before = {path: path.stat().st_mtime_ns for run in (one, other) for path in run.rglob("*")}
    out = tmp_path / "both"
    page = compare_runs([one, other], out)
    assert page == out / "report.html"
    for name, described in comparison_tables().items():
        assert tuple(pd.read_csv(out / "comparison" / f"{name}.csv").columns) == described.names
    charts = {path.suffix for path in (out / "comparison" / "charts").iterdir()}
    assert charts == {".svg", ".png"}
    assert not list(out.rglob("*.part"))
    assert before == {path: path.stat().st_mtime_ns for run in (one, other) for path in run.rglob("*")}
    with pytest.raises(HeadAtlasError, match="holds a comparison"):
        refuse_comparison(out)
    refuse_comparison(one)


def test_a_run_is_not_overwritten(one, other, tmp_path):
    with pytest.raises(HeadAtlasError, match="holds the run of one model"):
        compare_runs([one, other], one)
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadAtlasError, match="must be a folder, got a file"):
        compare_runs([one, other], tmp_path / "file")
