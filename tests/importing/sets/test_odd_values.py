"""For any value of a field, a record becomes a question or is listed with a reason; no error is raised."""

import json
import random

import pytest
from PIL import Image

from headatlas.cogvsr import load
from headatlas.importing import import_dataset
from headatlas.importing.registry import IMPORTERS
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
    made = list(IMPORTERS[name].read(open_origin(tmp_path)))
    assert all(isinstance(one, (Draft, LeftOut)) for one in made)
    per_record = 6 if name == "nlvr" else 1
    left = sum(isinstance(one, LeftOut) for one in made)
    drafts = len(made) - left
    assert drafts / per_record + left == len(rows)
    assert left
    assert all(str(one).isprintable() for one in made if isinstance(one, LeftOut))


def junk(rng: random.Random, depth: int = 0):
    """A random JSON value."""
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind < 3:
        letters = "aB1.( )\n\"\\<>/\u00e9\u202e\u65e5\ud83d\x00\x1b:,;'-"
        return "".join(rng.choice(letters) for _ in range(rng.choice((0, 1, 3, 20, 3000))))
    if kind == 3:
        return rng.choice((0, -1, 10**30, 1.5, float("nan"), float("inf"), -1e308))
    if kind < 7:
        return rng.choice((None, True, False, "yes", "(a)", "B. left", "A", "a.png", "../a.png"))
    if kind == 7:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {str(junk(rng, 3))[:40]: junk(rng, depth + 1) for _ in range(rng.randrange(4))}


@pytest.mark.parametrize("name", RECORDS)
def test_fuzzed_records_are_questions_or_listed(tmp_path, name):
    rng = random.Random(f"fuzz {name}")
    rows = [dict(RECORDS[name])]
    for _ in range(120):
        record = dict(RECORDS[name])
        for field in rng.sample(list(record), rng.randint(1, min(3, len(record)))):
            record[field] = junk(rng)
        rows.append(record)
    folder = tmp_path / "set"
    folder.mkdir()
    table = folder / ("L1_single.json" if name == "spatial457" else "records.json")
    table.write_text(json.dumps({"questions": rows[:1]}))
    for draft in list(IMPORTERS[name].read(open_origin(folder))):
        for picture in draft.pictures:
            if not picture.read:
                (folder / picture.name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (24, 24), "teal").save(folder / picture.name)
    table.write_text(json.dumps({"questions": rows}))
    report = import_dataset(name, folder, tmp_path / "out", n=10_000, download=False, cache=tmp_path / "cache")
    per_record = 6 if name == "nlvr" else 1
    assert report.questions + len(report.missing) == report.read
    whole = [one for one in report.left_out if one.key.startswith(table.name) or per_record == 1]
    assert report.read + len(whole) * per_record + (len(report.left_out) - len(whole)) == len(rows) * per_record
    assert len(load(tmp_path / "out")) == report.questions
    assert all(str(one).isprintable() for one in [*report.left_out, *report.missing])
