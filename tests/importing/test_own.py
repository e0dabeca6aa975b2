"""Own questions, from rows and from files, written as people and other evaluations write them."""

import base64
import csv
import json
import sys

import pytest
from PIL import Image

import headatlas as ha
from headatlas.cogvsr import CogVSR, load
from headatlas.cogvsr.enough import cannot_run, scenes_per_split, too_few
from headatlas.cogvsr.functions import TASK
from headatlas.cogvsr.validate import Checked, validate
from headatlas.errors import HeadAtlasError
from headatlas.importing import import_dataset
from headatlas.importing.draft import LeftOut, Unusable
from headatlas.importing.origin import open_origin
from headatlas.importing.own import drafts_of, named
from headatlas.importing.own_files import own, pictured_in
from headatlas.importing.own_validate import is_own, validate_own
from headatlas.scenes.build import build
from headatlas.vlm.chat import conversation

from .conftest import png

ROW = {"image": "a.png", "question": "Is the cup left of the plate?", "answer": "yes"}


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def draft(tmp_path, **fields):
    (made,) = drafts_of([("row 0", {**ROW, **fields})], pictured_in(tmp_path))
    return made


def picture(i):
    return Image.new("RGB", (8, 8), (i, 2 * i, 90))


def test_rows_in_memory_become_a_dataset_with_dealt_splits():
    rows = [{**ROW, "image": picture(i // 2), "answer": i % 2 == 0} for i in range(24)]
    data = ha.cogvsr.from_rows(rows, seed=1)
    assert len(data) == 24
    assert set(data.splits) == {"P", "S", "T", "E"}
    steps = data.steps()
    assert (steps["kind"] == TASK).all()
    assert set(steps["gold"]) == {"yes", "no"}
    of_scene = steps.groupby("scene")["split"].nunique()
    assert len(of_scene) == 12
    assert (of_scene == 1).all(), "two questions of one picture are in two splits"
    again = ha.cogvsr.from_rows(rows, seed=1)
    assert again.fingerprint == data.fingerprint


def test_eight_pictures_can_be_studied_and_seven_cannot():
    def scenes(n):
        return scenes_per_split(ha.cogvsr.from_rows([{**ROW, "image": picture(i)} for i in range(n)]).steps())

    assert cannot_run(scenes(8)) == ""
    assert len(too_few(scenes(8))) == 4
    assert "8 different pictures" in cannot_run(scenes(7))
    built = [CogVSR.from_questions(build(n)).steps() for n in (7, 8)]
    assert [cannot_run(scenes_per_split(steps)) == "" for steps in built] == [False, True]


def test_rows_say_more_where_they_can(tmp_path):
    made = draft(
        tmp_path,
        id="q7", options='["left", "right"]', answer="B", functions="Spatial perception|relational_reasoning", scene="s1",
        category="where", split="T", boxes=[[0.1, 0.1, 0.5, 0.5]], objects=[{"name": "cup", "box": [0, 0, 0.5, 1]}],
    )  # fmt: skip
    assert (made.id, made.answer, made.options, made.split, made.group, made.family) == (
        *("q7", "right", ("left", "right"), "T", "s1", "where"),
    )
    (step,) = made.steps
    assert step.functions == ("spatial_perception", "relational_reasoning")
    assert step.kind == "whole"
    assert step.boxes[0].x1 == 0.5
    assert made.objects[0].cls == "cup"


def test_cells_of_a_table_say_what_lists_and_missing_fields_say(tmp_path):
    """An empty cell is no value, and a list is one also as text."""
    several = ["left", "right", "left"]
    plain = draft(tmp_path, answer=several, type=["a", "b"], hint=3)
    assert plain.answer == "left"
    assert plain.family == "a|b"
    assert plain.text == "3\nIs the cup left of the plate?"
    cells = {"answer": json.dumps(several), "type": '["a", "b"]', "hint": "3", "answer_type": "", "id": "", "scene": ""}
    assert draft(tmp_path, **cells) == plain


def test_steps_are_taken_as_they_are(tmp_path):
    steps = [
        {
            "question": "Where is the cup?",
            "answer": "left",
            "options": ["left", "right"],
            "function": "spatial_perception",
        },
        {"question": "So?", "answer": "Yes", "function": "decision_making"},
    ]
    made = draft(tmp_path, steps=steps)
    assert [step.function for step in made.steps] == ["spatial_perception", "decision_making"]
    assert made.steps[-1].answer == "yes"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"answer": None, "awnser": "yes"},
            'field answer: is missing, did you mean \'awnser\'?; write "answer": "yes"',
        ),
        ({"question": " "}, 'field question: is missing; write "question"'),
        ({"image": None}, 'field image: is missing; write "image": "pictures/a.jpg"'),
        ({"image": "[]"}, "field image: is missing"),
        ({"answer": "A", "options": ["Point B", "Point A"]}, "'A' may mean 'Point B', by its place, or 'Point A'"),
        ({"answer": "a", "options": "B is closer|A is closer"}, "write the text of the option"),
        ({"image": "/etc/passwd"}, "must be a path relative to"),
        ({"options": ["left", "right"]}, "write the text of one option, or its letter"),
        ({"options": "left"}, "field options: must be a list of two or more"),
        ({"functions": "spatial_percption"}, "did you mean 'spatial_perception'?"),
        ({"split": "test"}, "leave it out to have splits dealt"),
        ({"boxes": [[10, 10, 200, 90]]}, "divide x by its width"),
        ({"steps": [{"question": "a?", "answer": "no"}]}, "the last step must end in the answer 'yes'"),
        ({"scene": ["a"]}, "field scene: must be a text or a number, got ['a']"),
        ({"id": {"a": 1}}, "field id: must be a text or a number"),
        ({"id": True}, "field id: must be a text or a number"),
        ({"type": [[]]}, "field type: must be a text or a number"),
        ({"hint": ["look"]}, "field hint: must be a text or a number"),
        ({"answer_type": "choice"}, "field options: is missing for a choice"),
    ],
)
def test_what_cannot_be_used_says_what_to_write(tmp_path, fields, told):
    made = draft(tmp_path, **fields)
    assert isinstance(made, LeftOut)
    assert told in made.reason


@pytest.mark.parametrize(
    ("answer", "options", "right"),
    [
        ("A", ["Point A", "Point B"], "Point A"),
        ("A", ["The dog", "A cat"], "The dog"),
        ("B", ["B", "A"], "B"),
        ("B", {"A": "Point B", "B": "Point A"}, "Point A"),
    ],
)
def test_a_letter_that_can_mean_one_option_only_is_taken(tmp_path, answer, options, right):
    assert draft(tmp_path, answer=answer, options=options).answer == right


def test_functions_of_all_or_of_none():
    rows = [{**ROW, "image": picture(i), "function": "math_reasoning" if i else None} for i in range(4)]
    with pytest.raises(HeadAtlasError, match="1 of 4 questions name no function"):
        ha.cogvsr.from_rows(rows)


def test_mistakes_in_python_are_one_line(tmp_path):
    with pytest.raises(HeadAtlasError, match=r"row 1: field answer: is missing.*\(and 1 more of 3 rows\)"):
        ha.cogvsr.from_rows([{**ROW, "image": picture(0)}, {"image": picture(1), "question": "?"}, {}])
    with pytest.raises(HeadAtlasError, match="cannot be read"):
        ha.cogvsr.from_rows([{**ROW, "image": tmp_path / "none.png"}])
    with pytest.raises(HeadAtlasError, match="headatlas data from"):
        ha.cogvsr.from_rows("questions.jsonl")
    with pytest.raises(HeadAtlasError, match="at least one question"):
        ha.cogvsr.from_rows([])
    shared = [{**ROW, "image": picture(0), "split": split, "id": split} for split in "PE"]
    with pytest.raises(HeadAtlasError, match="share a picture or a group, so they must be in one split"):
        ha.cogvsr.from_rows(shared)


def test_a_folder_with_metadata_and_pictures(tmp_path):
    for i in range(12):
        picture(i).save(tmp_path / f"{i}.png")
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "question", "answer", "choices"])
        writer.writeheader()
        for i in range(12):
            writer.writerow({"file_name": f"{i}.png", "question": "where?", "answer": "b", "choices": "left|right"})
    report = import_dataset("own", tmp_path, tmp_path.parent / f"{tmp_path.name}-out", None)
    assert (report.questions, report.left_out, report.missing) == (12, [], [])
    data = ha.cogvsr.load(tmp_path.parent / f"{tmp_path.name}-out")
    assert data[0].answer == "right"
    assert not list(validate(tmp_path.parent / f"{tmp_path.name}-out"))


def test_vlmevalkits_tsv_with_base64_and_images_in_other_rows(tmp_path):
    header = ["index", "image", "question", "hint", "A", "B", "C", "answer", "category", "split"]
    pictures = [base64.b64encode(png(color, 40)).decode() for color in ("red", "blue")]
    rows = [
        [0, pictures[0], "Where is it?", "", "left", "right", "", "B", "place", "dev"],
        [1, pictures[1], "Which one?", "Look closely.", "cup", "plate", "dog", "dog", "what", "dev"],
        [2, "0", "Where is it now?", "", "left", "right", "", "A", "place", "dev"],
    ]
    path = tmp_path / "bench.tsv"
    path.write_text("\n".join("\t".join(map(str, row)) for row in [header, *rows]) + "\n")
    found = list(own(open_origin(path)))
    assert [one.answer for one in found] == ["right", "dog", "left"]
    assert found[1].text.startswith("Look closely.\nWhich one?")
    assert found[0].pictures[0].read() == found[2].pictures[0].read() == png("red", 40)
    report = import_dataset("own", path, tmp_path / "out", None)
    assert report.groups == 2


def test_vlmevalkits_result_files_as_it_writes_them(tmp_path, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    rows = [
        ("index", "question", "A", "B", "answer", "category", "prediction"),
        (0, "Where is the cup?", "left", "right", "A", "place", "A"),
        (17, "How many cups are there?", 2, 3, "B", "count", "The answer is B."),
        (18, "Which one?", "left", None, None, "place", "A"),
    ]
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "model_set.xlsx")
    first, second, odd = own(open_origin(tmp_path / "model_set.xlsx"))
    assert (first.answer, first.options, first.family, first.pictures[0].name) == (
        "left",
        ("left", "right"),
        "place",
        "0",
    )
    assert (second.answer, second.pictures[0].name) == ("3", "17")
    assert "row 4" in odd.key
    (tmp_path / "bad.xlsx").write_bytes(b"PK")
    with pytest.raises(HeadAtlasError, match="not a readable workbook"):
        list(own(open_origin(tmp_path / "bad.xlsx")))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(HeadAtlasError, match=r"needs openpyxl: install it with pip install 'headatlas\[xlsx\]'"):
        list(own(open_origin(tmp_path / "model_set.xlsx")))


def test_lmms_evals_samples_take_their_pictures_by_id(tmp_path):
    sample = {
        "doc_id": 3, "target": "(B)", "resps": [["A"]], "filtered_resps": ["A"], "doc_hash": "x",
        "doc": {"question_id": 17, "question": "Where is the cup?\n(A) left\n(B) right", "split": "test"},
    }  # fmt: skip
    bare = {
        "doc_id": 4, "target": "yes", "resps": [["no"]], "doc": {"category": "c"},
        "arguments": [["Is it red?\nAnswer with yes or no.", {"until": ["x"]}]],
    }  # fmt: skip
    folder = tmp_path / "logs"
    folder.mkdir()
    lines(folder / "20250101_samples_mine.jsonl", [sample, bare])
    (folder / "20250101_results.json").write_text("{}")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("17.jpg", "4.jpg"):
        picture(len(name)).save(pictures / name)
    report = import_dataset("own", folder, tmp_path / "out", None, images=[pictures])
    assert (report.questions, report.missing) == (2, [])
    found = {question.id: question for question in ha.cogvsr.load(tmp_path / "out")}
    assert found["17"].answer == "right"
    assert found["4"].text == "Is it red?"
    assert found["4"].answer_type == "yes_no"


def test_validate_finds_the_same_faults_without_making_anything(tmp_path):
    picture(1).save(tmp_path / "a.png")
    path = lines(
        tmp_path / "q.jsonl", [ROW, {**ROW, "answer": ""}, {**ROW, "image": "none.png"}, {**ROW, "image": "../x.png"}]
    )
    assert is_own(path)
    checked = Checked()
    faults = [str(fault) for fault in validate_own(path, [], checked)]
    assert (checked.questions, checked.faults) == (1, 3)
    assert any("q.jsonl, line 2" in fault and 'write "answer": "yes"' in fault for fault in faults)
    assert any("none.png" in fault and "--images" in fault for fault in faults)
    assert any("leads out of the dataset's folder" in fault for fault in faults)


def test_own_questions_are_known_by_what_they_lack(tmp_path):
    picture(1).save(tmp_path / "a.png")
    other = lines(tmp_path / "other.jsonl", [{"img": "a.png", "query": "Is it red?", "label": "yes"}])
    assert is_own(other)
    (fault,) = validate_own(other, [], Checked())
    assert 'write "answer": "yes" (the row has img, query, label)' in str(fault)
    only_pictures = tmp_path / "pictures"
    only_pictures.mkdir()
    picture(2).save(only_pictures / "b.png")
    assert is_own(only_pictures)
    with pytest.raises(HeadAtlasError, match=r"write questions\.jsonl with one line a question"):
        list(validate_own(only_pictures, [], Checked()))


def test_pictures_at_addresses_are_counted_apart(tmp_path):
    path = lines(tmp_path / "q.jsonl", [{**ROW, "image": "https://host.invalid/a.png"}])
    checked = Checked()
    assert not list(validate_own(path, [], checked))
    assert (checked.questions, checked.remote) == (1, 1)


def test_a_dataset_is_not_taken_for_own_questions(tmp_path):
    data = ha.cogvsr.from_rows([{**ROW, "image": picture(i)} for i in range(4)], tmp_path / "data")
    assert not is_own(tmp_path / "data")
    record = {**ROW, "id": "a", "text": "?", "answer_type": "yes_no", "steps": []}
    assert not is_own(lines(tmp_path / "cogvsr.jsonl", [record]))
    assert len(data) == 4


def test_tables_of_several_kinds_and_none_are_refused(tmp_path):
    with pytest.raises(HeadAtlasError, match=r"write questions\.jsonl with one line a question"):
        list(own(open_origin(tmp_path)))
    lines(tmp_path / "a.jsonl", [ROW])
    (tmp_path / "b.csv").write_text("image,question,answer\n")
    with pytest.raises(HeadAtlasError, match="name the file to read"):
        list(own(open_origin(tmp_path)))
    (tmp_path / "c.xls").write_bytes(b"PK")
    with pytest.raises(HeadAtlasError, match="save it as one of these"):
        list(own(open_origin(tmp_path / "c.xls")))


@pytest.mark.parametrize(
    ("question", "answer", "asked"),
    [("Where is the dog?", "left", "Where is the dog?"), ("Is it red?", "yes", "Is it red?"),
     ("The dog is left of the cat.", "no", "The dog is left of the cat.\nYes or no?")],
)  # fmt: skip
def test_a_question_is_asked_in_its_own_words(question, answer, asked):
    (one,) = ha.cogvsr.from_rows([{"image": picture(1), "question": question, "answer": answer}])
    assert [turn.user for turn in conversation(one, upto=0).turns] == [asked]
    assert [turn.user for turn in conversation(one, preamble="Look:").turns] == [f"Look:\n{asked}"]


@pytest.mark.parametrize(
    "header",
    ["Image,Question,Answer", " IMAGE , question,Answer ", "Image Path,QUERY,Ground-Truth", "img,Prompt,gt_answer"],
)
def test_fields_are_known_in_any_spelling(tmp_path, header):
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 9, 90)).save(tmp_path / f"{i}.png")
    rows = "\n".join(f"{i}.png,Is it red?,no" for i in range(3))
    (tmp_path / "q.csv").write_text(f"{header}\n{rows}\n")
    report = import_dataset("own", tmp_path / "q.csv", tmp_path / "out")
    assert (report.questions, report.left_out) == (3, [])
    assert [question.answer for question in load(tmp_path / "out")] == ["no"] * 3


def test_two_spellings_of_a_field_must_agree_and_letters_stay_options(tmp_path):
    assert named({"Question": "a", "question": "b"}) == {"Question": "a", "question": "b"}  # the exact name counts
    assert named({"A": "left", "B": "right", "Options": None}) == {"A": "left", "B": "right", "options": None}
    assert named({"QUESTION": "a", "Question": "a"}) == {"question": "a"}
    with pytest.raises(Unusable, match="field question: must be there once, got it in two spellings"):
        named({"QUESTION": "a", "Question": "b"})


def test_tables_that_excel_saves_as_unicode_text_say_what_to_do(tmp_path):
    (tmp_path / "q.tsv").write_text("image\tquestion\tanswer\na.png\tgr\xf6\xdfer?\tyes\n", encoding="utf-16")
    with pytest.raises(HeadAtlasError, match="must be UTF-8, got UTF-16: save it as UTF-8 text"):
        import_dataset("own", tmp_path / "q.tsv", tmp_path / "out")
    (tmp_path / "q.csv").write_text("picture,answer\na.png,yes\nb.png,no\n")
    with pytest.raises(HeadAtlasError, match="none of 2 questions can be used"):
        import_dataset("own", tmp_path / "q.csv", tmp_path / "out")
