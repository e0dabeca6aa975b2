import json

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.report.tables import COLUMNS, only, read_run


def test_every_table_is_read_with_its_columns(run_dir):
    run = read_run(run_dir)
    assert run.absent == {}
    for name, columns in COLUMNS.items():
        assert list(run.tables[name].columns) == columns.split()
        assert len(run.tables[name])


def test_the_selector_called_null_is_not_a_missing_value(run_dir):
    assert set(read_run(run_dir).tables["selection"]["selector"]) == {"null", "elbow", "top_share"}


def test_empty_cells_are_empty_words_or_missing_numbers(run_dir):
    run = read_run(run_dir)
    assert (only(run.tables["probe"], scorer="paper")["function"] == "").all()
    assert only(run.tables["scores"], scorer="linear")["p"].isna().all()
    assert run.tables["tuning"]["chosen"].sum() == 24


def test_a_missing_table_says_so(run_dir):
    (run_dir / "results" / "dose.csv").unlink()
    run = read_run(run_dir)
    assert run.tables["dose"].empty
    assert "results/dose.csv was not written" in run.why("dose")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), ("scorer,function,k\n", "lacks set, accuracy"), (COLUMNS["dose"].replace(" ", ","), "no rows")],
)
def test_an_unusable_table_says_why(run_dir, text, reason):
    (run_dir / "results" / "dose.csv").write_text(text)
    assert reason in read_run(run_dir).why("dose")


def test_a_folder_that_is_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(HeadAtlasError, match="is it a run directory"):
        read_run(tmp_path)
    with pytest.raises(HeadAtlasError, match="expected a run directory"):
        read_run(tmp_path / "nowhere")


def test_broken_json_names_the_file(run_dir):
    (run_dir / "claims.json").write_text("{")
    with pytest.raises(HeadAtlasError, match=r"expected JSON in .*claims\.json"):
        read_run(run_dir)


def test_claims_of_an_unexpected_form_are_no_claims(run_dir):
    (run_dir / "claims.json").write_text(json.dumps({"claims": "none"}))
    assert "claims.json is missing or empty" in read_run(run_dir).why("claims")
