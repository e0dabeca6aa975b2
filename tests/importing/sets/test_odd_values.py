"""Whatever a field holds, a record becomes a question or is listed with its reason: nothing is raised, nothing vanishes."""

import json

import pytest

from headatlas.importing.registry import find_importer
from headatlas.importing.run import Draft, LeftOut, open_origin

from . import test_choices_sets, test_cogqa, test_nlvr, test_vsr

KINDS = (None, 5, -1, [], [None], {}, {"a": 1}, True, float("nan"), [[["a"]]])
ODD = (*KINDS, "", "   ", "\ud800", "<script>", "../../x", "A.", "x\0y")
RECORDS = {name: record for name, (record, _) in test_choices_sets.RECORDS.items()} | {
    "vsr": test_vsr.RECORD,
    "cogqa": test_cogqa.RECORD,
    "nlvr": test_nlvr.record("There is a black block.", test_nlvr.TOWERS),
    "superclevr": {"image_filename": "a.png", "question": "How many things are there?", "answer": 3, "program": []},
    "spatial457": {"image_filename": "a.png", "question": "?", "answer": 3, "question_index": 1, "program": []},
}


@pytest.mark.parametrize("name", RECORDS)
def test_odd_values_are_listed_or_read(tmp_path, name):
    record = RECORDS[name]
    rows = [{**record, field: value} for field in record for value in ODD]
    rows += [{k: v for k, v in record.items() if k != field} for field in record]
    table = tmp_path / ("L1_single.json" if name == "spatial457" else "records.json")
    table.write_text(json.dumps({"questions": rows}))
    made = list(find_importer(name).read(open_origin(tmp_path)))
    assert all(isinstance(one, (Draft, LeftOut)) for one in made)
    per_record = 6 if name == "nlvr" else 1
    passed_over = len(ODD) if name == "blink" else 0  # of a subset that is not spatial
    left = sum(isinstance(one, LeftOut) for one in made)
    drafts = len(made) - left
    assert len(rows) - passed_over <= drafts / per_record + left <= len(rows)
    assert left
    assert all(str(one).isprintable() for one in made if isinstance(one, LeftOut))
