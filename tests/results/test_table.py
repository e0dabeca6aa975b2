"""Every results table is described once: what is written and read is checked against it, and the docs are made from it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headatlas import results
from headatlas.errors import HeadAtlasError
from headatlas.results import LIMITS, RESULTS, Column, Table, load, validate
from headatlas.results.__main__ import markdown

DOCS = Path(__file__).parents[2] / "docs" / "results.md"


def overlap(**changes):
    row = {"scorer": "a", "function_a": "x", "function_b": "y", "jaccard": 0.5, "jaccard_corrected": -0.2}
    return pd.DataFrame([row | changes])


def test_the_docs_are_current():
    assert DOCS.read_text() == markdown(), "run: python -m headatlas.results > docs/results.md"


def test_every_table_and_column_is_described():
    for name, table in RESULTS.items():
        assert table.meaning.endswith("."), name
        assert len(set(table.names)) == len(table.names)
        assert set(table.key) <= set(table.names)
        for column in table.columns:
            assert column.meaning, (name, column.name)
            assert column.kind in {"text", "flag", *LIMITS}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (overlap(jacard=1), "unknown column 'jacard', did you mean 'jaccard'"),
        (overlap().drop(columns="jaccard"), "jaccard is missing"),
        (overlap(jaccard="many"), "'jaccard' of table 'overlap' must be in 0..1 or empty, got 'many' in row 0"),
        (overlap(jaccard=1.2), "must be in 0..1 or empty, got .*1.2"),
        (overlap(jaccard_corrected=np.inf), "must be a finite number"),
        (overlap(scorer=""), "'scorer' .* must be text"),
        (overlap(scorer=3), "'scorer' .* must be text"),
        (pd.concat([overlap()] * 2), "one row for each scorer, function_a, function_b"),
    ],
)
def test_what_does_not_fit_is_refused(table, message):
    with pytest.raises(HeadAtlasError, match=message):
        validate("overlap", table)


def test_whole_numbers_flags_and_allowed_words():
    made = Table(
        "T.", (Column("n", "count", "n"), Column("yes", "flag", "y"), Column("w", "text", "w", values=("a", "b")))
    )
    good = pd.DataFrame({"n": [1, 2], "yes": ["True", "False"], "w": ["a", "b"]})
    assert made.check("t", good)["yes"].tolist() == [True, False]
    for column, wrong, message in (("n", 1.5, "whole number"), ("n", -1, "whole number"), ("n", np.nan, "whole number"),
                                   ("yes", "maybe", "True or False"), ("w", "c", "one of a, b")):  # fmt: skip
        with pytest.raises(HeadAtlasError, match=message):
            made.check("t", good.assign(**{column: [good[column][0], wrong]}))


def test_what_is_written_is_read_the_same(tmp_path):
    table = validate("overlap", pd.concat([overlap(), overlap(function_b="null", jaccard=np.nan)]))
    table.to_csv(tmp_path / "overlap.csv", index=False)
    again = load(tmp_path, "overlap")
    pd.testing.assert_frame_equal(again, table)
    assert again["function_b"].tolist() == ["y", "null"], "a name that pandas would take for a gap"


@pytest.mark.parametrize("name", list(RESULTS))
def test_tables_without_rows_keep_their_columns(name, tmp_path):
    empty = RESULTS[name].empty()
    pd.testing.assert_frame_equal(load(tmp_path, name), empty)
    (tmp_path / f"{name}.csv").write_text("\n")
    pd.testing.assert_frame_equal(load(tmp_path, name), empty)
    empty.to_csv(tmp_path / f"{name}.csv", index=False)
    pd.testing.assert_frame_equal(load(tmp_path, name), empty)
    pd.testing.assert_frame_equal(validate(name, pd.DataFrame()), empty)


@pytest.mark.parametrize("content", [b"scorer\n1\n", b"\xff\xfe\x00", b'a,"b\n', b"a,b\n1,2,3\n"])
def test_a_damaged_file_is_one_line(content, tmp_path):
    (tmp_path / "overlap.csv").write_bytes(content)
    with pytest.raises(HeadAtlasError, match=r"overlap\.csv"):
        load(tmp_path, "overlap")


def test_a_table_of_another_package_is_added():
    RESULTS.add("mine", Table("Mine.", (results.SCORER,)))
    try:
        assert len(validate("mine", pd.DataFrame({"scorer": ["a"]}))) == 1
    finally:
        RESULTS.remove("mine")
    with pytest.raises(HeadAtlasError, match="results table must be one of"):
        validate("mine", pd.DataFrame())
