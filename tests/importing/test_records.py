import base64
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import LeftOut, Picture, Unusable
from headatlas.importing.records import Record, Spool, read_records

from .conftest import png

ROWS = [{"a": "x\u2028y", "b": 1}, {"a": "z", "b": 2}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("t.json", json.dumps(ROWS)),
        ("t.json", json.dumps({"info": {}, "questions": ROWS})),
        ("t.json", "\n".join(json.dumps(row) for row in ROWS)),  # JSON lines under another name
        ("t.csv", "a,b\nx\u2028y,1\nz,2\n"),
        ("t.csv", "a;b\nx\u2028y;1\nz;2\n"),  # as spreadsheets of some countries write it
        ("t.tsv", "a\tb\nx\u2028y\t1\nz\t2\n"),
    ],
)
def test_every_table_gives_the_same_records(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = list(read_records(tmp_path / name))
    assert [(record.text("a"), record.text("b")) for record in found] == [("x\u2028y", "1"), ("z", "2")]
    assert len({record.where for record in found}) == 2


def test_images_in_parquet_are_read_when_wanted(tmp_path):
    rows = [{"id": i, "image": {"bytes": png(color), "path": None}} for i, color in enumerate(("red", "blue", "lime"))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=2)
    found = list(read_records(tmp_path / "t.parquet"))
    assert [record["id"] for record in found] == [0, 1, 2]
    pictures = [record["image"] for record in found]
    assert all(isinstance(picture, Picture) for picture in pictures)
    assert pictures[2].read() == png("lime")
    assert pictures[0].read() == png("red")
    assert len({picture.name for picture in pictures}) == 3


def test_lines_that_cannot_be_read_are_listed(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{\n[2]\n')
    found = list(read_records(tmp_path / "t.jsonl"))
    assert [type(one) for one in found] == [Record, LeftOut, LeftOut]
    assert found[1].key == "t.jsonl, line 2"
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1,2,3\n1\n")
    assert [type(one) for one in read_records(tmp_path / "t.csv")] == [Record, LeftOut, LeftOut]


def test_files_that_cannot_be_read_are_an_error(tmp_path):
    for name, data in (("t.json", b"{"), ("t.parquet", b"PAR1"), ("t.xml", b"<a/>"), ("deep.json", b"[" * 9999)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(HeadAtlasError) as caught:
            list(read_records(tmp_path / name))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_fields_are_checked():
    record = Record({"n": 3, "t": " x ", "e": "", "l": ["a"], "j": '["b"]', "f": float("nan"), "flag": True}, "here")
    assert (record.text("n"), record.text("e", "t"), record.text("zz", default="d")) == ("3", "x", "d")
    assert (record.items_of("l"), record.items_of("j")) == (["a"], ["b"])
    for name in ("e", "f", "flag", "zz"):
        with pytest.raises(Unusable, match=f"field {name}: must be text"):
            record.text(name)
    with pytest.raises(Unusable, match="field t: must be a list, got ' x '"):
        record.items_of("t")


def test_a_spool_keeps_pictures_out_of_memory():
    spool = Spool()
    first = spool.picture("a", base64.b64encode(png("red")).decode())
    second = spool.picture("b", "data:image/png;base64," + base64.b64encode(png("blue")).decode())
    assert (second.read(), first.read()) == (png("blue"), png("red"))
    with pytest.raises(Unusable, match="must be base64"):
        spool.picture("c", "not base64!")


def test_rows_in_another_encoding_are_listed_and_the_others_read(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,caf\xc3\xa9\n2,caf\xe9\n3,x\n")
    found = list(read_records(tmp_path / "t.csv"))
    assert [type(one) for one in found] == [Record, LeftOut, Record]
    assert (found[0]["b"], found[1].reason) == ("caf\u00e9", "field b: not UTF-8")
    (tmp_path / "t.json").write_bytes(b'{"a": "caf\xc3\xa9"}\n{"a": "caf\xe9"}\n{"a": 3}\n')
    found = list(read_records(tmp_path / "t.json"))
    assert [type(one) for one in found] == [Record, LeftOut, Record]
    (tmp_path / "u.json").write_bytes(b'[{"a": "caf\xe9"}]')
    with pytest.raises(HeadAtlasError, match=r"u.json: not UTF-8 \(byte 12\)"):
        list(read_records(tmp_path / "u.json"))
