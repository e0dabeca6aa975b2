"""Importers of sets that give a question, options and an answer: one record of the published form each, and real files."""

import base64
import io

import pytest
from PIL import Image

buffer = io.BytesIO()
Image.effect_noise((24, 24), 90).convert("RGB").save(buffer, format="JPEG")
PICTURE = base64.b64encode(buffer.getvalue()).decode()

RECORDS = {
    "spatialmqa": (
        {"image": "a.png", "question": "Where is the fork?", "options": ["left of", "right of"], "answer": "right of"},
        ("Where is the fork?\nChoose one: left of, right of.", "right of", "a.png"),
    ),
    "viewspatial": (
        {
            "question_type": "Camera perspective - Object View Orientation",
            "image_path": ["a.png"],
            "question": "Which way does it face?",
            "answer": "B. back",
            "choices": "A. left\nB. back\nC. front",
        },
        ("Which way does it face?\nChoose one: left, back, front.", "back", "a.png"),
    ),
    "spatialscore": (
        {
            "index": 3,
            "category": "Object Properties",
            "subcategory": "Size",
            "question_type": "multi-choice",
            "question": "Which is higher?\n(A) train\n(B) lamp",
            "answer": "(b)",
            "img_paths": ["./dataset/x/a.png"],
            "source": "3DSRBench",
            "index_origin": "AB12-flip",
        },
        ("Which is higher?\nChoose one: train, lamp.", "lamp", "./dataset/x/a.png"),
    ),
    "spatialeval": (
        {
            "id": "mazenav.vqa.12.0",
            "text": "How many right turns?\nAvailable options:\nA. 2\nB. 3\nC. 5",
            "image": "a.png",
            "oracle_answer": "3",
            "oracle_option": "B",
            "oracle_full_answer": "B. 3",
        },
        ("How many right turns?\nChoose one: 2, 3, 5.", "3", "a.png"),
    ),
    "cvbench": (
        {
            "idx": 4,
            "type": "2D",
            "task": "Count",
            "question": "How many lamps are in the image?",
            "choices": ["1", "0"],
            "answer": "(B)",
            "filename": "img/2D/a.png",
        },
        ("How many lamps are in the image?\nChoose one: 1, 0.", "0", "img/2D/a.png"),
    ),
    "blink": (
        {
            "idx": "val_Spatial_Relation_7",
            "sub_task": "Spatial_Relation",
            "question": "Is the car beneath the cat?",
            "choices": ["no", "yes"],
            "answer": "(B)",
            "image_1": "a.png",
            "image_2": None,
        },
        ("Is the car beneath the cat?", "yes", "a.png"),
    ),
    "embspatial": (
        {
            "question_id": "mp3d_57",
            "question": "Where is the sofa?",
            "answer_options": ["above the lamp", "left of the lamp"],
            "answer": 1,
            "relation": "left",
            "image": PICTURE,
        },
        ("Where is the sofa?\nChoose one: above the lamp, left of the lamp.", "left of the lamp", "mp3d_57.jpg"),
    ),
    "spatialmm": (
        {
            "image_name": "a.png",
            "question": "Where is the boy from the man's perspective?\nA. behind\nB. right",
            "answer": "B. right",
            "object1": "boy",
            "object2": "man",
        },
        ("Where is the boy from the man's perspective?\nChoose one: behind, right.", "right", "a.png"),
    ),
    "3dsrbench": (
        {
            "index": "AB12-flip-1",
            "question": "Which is nearer?",
            "A": "the cat",
            "B": "the dog",
            "answer": "A",
            "category": "location_closer_to_camera",
            "image_url": "http://images.example/val2017/a.png",
        },
        ("Which is nearer?\nChoose one: the cat, the dog.", "the cat", "val2017/a.png"),
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_the_published_form(read, table, name):
    record, (text, answer, picture) = RECORDS[name]
    (draft,), left = read(name, table([record], "records.jsonl"))
    assert not left
    assert (draft.text, draft.answer, draft.pictures[0].name) == (text, answer, picture)
    assert draft.steps[0].kind == "whole"
    assert draft.family


@pytest.mark.parametrize("name", [name for name in RECORDS if name not in ("vsr",)])
def test_an_answer_that_is_no_option_is_listed(read, table, name):
    record, _ = RECORDS[name]
    key = "oracle_option" if name == "spatialeval" else "answer"
    drafts, left = read(name, table([{**record, key: 9 if name == "embspatial" else "(Q)"}], "records.jsonl"))
    assert not drafts
    assert left[0].key == "records.jsonl, line 1"
    assert "answer" in left[0].reason


def test_variants_stay_together(read, table):
    record, _ = RECORDS["3dsrbench"]
    variants = [{**record, "index": index} for index in ("AB12", "AB12-flip", "AB12-flip-1", "ZZ99")]
    drafts, _ = read("3dsrbench", table(variants, "records.jsonl"))
    assert [draft.group for draft in drafts] == ["AB12", "AB12", "AB12", "ZZ99"]
    record, _ = RECORDS["spatialeval"]
    modes = [{**record, "id": name} for name in ("mazenav.vqa.12.0", "mazenav.tqa.12.1", "mazenav.vqa.13.0")]
    drafts, _ = read("spatialeval", table(modes, "records.jsonl"))
    assert [draft.group for draft in drafts] == ["mazenav.12", "mazenav.12", "mazenav.13"]
    assert [len(draft.pictures) for draft in drafts] == [1, 0, 1]
    record, _ = RECORDS["spatialscore"]
    drafts, _ = read("spatialscore-3dsrbench", table([record], "records.jsonl"))
    assert drafts[0].group == "3DSRBench/AB12"
    assert read("spatialscore-blink", table([record], "records.jsonl")) == ([], [])


def test_3dsrbench_tables_of_vlmevalkit(read, tmp_path):
    rows = ["index\tquestion\tA\tB\tC\tD\tanswer\tcategory\timage"]
    rows += [
        f"QQ-0\tWhich?\tcat\tdog\t\t\tB\theight_higher\t{PICTURE}",
        "QQ-1\tWhich?\tdog\tcat\t\t\tA\theight_higher\tQQ-0",
    ]
    (tmp_path / "3dsrbench_v1_vlmevalkit_circular.tsv").write_text("\n".join(rows))
    drafts, left = read("3dsrbench", tmp_path)
    assert not left
    assert [draft.answer for draft in drafts] == ["dog", "dog"]
    assert drafts[0].pictures[0].read() == drafts[1].pictures[0].read() == buffer.getvalue()


def test_blink_passes_over_what_is_not_spatial_and_lists_what_is_hidden(read, table):
    record, _ = RECORDS["blink"]
    rows = [{**record, "sub_task": "Art_Style"}, {**record, "answer": "hidden"}]
    drafts, left = read("blink", table(rows, "records.jsonl"))
    assert not drafts
    assert [one.reason for one in left] == ["its answer is hidden: a record of the test split"]


def test_whatsup_shuffles_its_options_by_the_seed(read, table, tmp_path):
    captions = [f"A cup {where} a table" for where in ("on", "under", "to the left of", "to the right of")]
    rows = [{"image_path": f"data/cup{i}_on_table.jpeg", "caption_options": captions} for i in range(12)]
    drafts, left = read("whatsup", table(rows))
    assert not left
    assert {draft.answer for draft in drafts} == {"A cup on a table"}
    assert len({draft.options.index(draft.answer) for draft in drafts}) > 2
    (coco, *_), left = read(
        "whatsup", table([[42, "A cup on a table", "A cup under a table"], "what"], "coco_qa_two_obj.json")
    )
    assert coco.pictures[0].url == "http://images.cocodataset.org/val2017/000000000042.jpg"
    assert len(left) == 1
    (tmp_path / "coco_qa_two_obj.json").unlink()
    again, _ = read("whatsup", table(rows), seed=1)
    assert [draft.options for draft in again] != [draft.options for draft in drafts]


@pytest.mark.parametrize(
    ("name", "count"), [("spatialmqa", 8), ("spatialscore", 1400), ("viewspatial", 300), ("whatsup", 412)]
)
def test_real_files(read, real, name, count):
    drafts, left = read(name, real(name))
    assert len(drafts) == count
    assert not left
    letters = [
        draft for draft in drafts if draft.answer_type == "choice" and len(draft.answer) == 1 and draft.answer.isalpha()
    ]
    assert not letters  # the options' words, not their letters


def test_real_records_inside_spatialscore(read, real):
    for name, count in (("3dsrbench", 362), ("cvbench", 122), ("blink", 41), ("vsr", 8), ("vsibench", 336)):
        drafts, left = read(f"spatialscore-{name}", real("spatialscore"))
        assert (len(drafts), left) == (count, [])


def test_the_same_questions_in_two_formats_are_read_once(read, table, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = {"idx": 0, "type": "2D", "task": "Count", "question": "How many?", "choices": ["1", "2"], "answer": "(B)"}
    folder = table([{**record, "filename": "a.png"}], "test_2d.jsonl")
    cell = {"bytes": (folder / "a.png").read_bytes(), "path": None}
    pq.write_table(pa.Table.from_pylist([{**record, "image": cell}]), folder / "test_2d.parquet")
    drafts, left = read("cvbench", folder)
    assert (len(drafts), left) == (1, [])


def test_training_data_beside_a_benchmark_is_not_read(read, table):
    record = {
        "question_id": "scannet_1", "question": "Which is closer?", "answer_options": ["chair", "table"], "answer": 1,
        "relation": "close", "image": "a.png",
    }  # fmt: skip
    table([{**record, "question_id": "sft_1"}], "embspatial_sft.json")
    drafts, left = read("embspatial", table([record], "embspatial_bench.json"))
    assert ([draft.key for draft in drafts], left) == (["scannet_1"], [])
