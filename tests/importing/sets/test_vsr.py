RECORD = {
    "image": "000000000009.jpg",
    "image_link": "http://images.cocodataset.org/val2017/000000000009.jpg",
    "caption": "The cup is facing the bowl.",
    "label": 0,
    "relation": "facing",
    "annotator_id": 1,
    "vote_true_validator_id": "[2]",
    "vote_false_validator_id": "[]",
}


def test_a_caption_becomes_a_question_and_its_photograph_a_name_and_an_address(read, table):
    bad = [{**RECORD, "label": "maybe"}, {**RECORD, "caption": None}]
    (draft,), left = read("vsr", table([RECORD, *bad], "dev.jsonl"))
    assert draft.text == 'Is this statement true of the picture? "The cup is facing the bowl."'
    assert (draft.answer, draft.answer_type, draft.family) == ("no", "yes_no", "facing")
    assert draft.pictures[0].name == "val2017/000000000009.jpg"
    assert draft.pictures[0].url == RECORD["image_link"]
    assert draft.steps[0].kind == "whole"
    assert draft.steps[0].functions == ("spatial_perception", "relational_reasoning")
    assert [one.reason for one in left] == [
        "field label: must be 0 or 1, got 'maybe'",
        "field caption: must be text, got None",
    ]
    assert left[0].key == "dev.jsonl, line 2"


def test_real_files(read, real):
    drafts, left = read("vsr", real("vsr") / "zeroshot" / "dev.jsonl")
    assert len(drafts) == 340
    assert not left
    assert {draft.answer for draft in drafts} == {"yes", "no"}
    assert all(draft.pictures[0].url.endswith(draft.pictures[0].name) for draft in drafts)
    everything, left = read("vsr", real("vsr"))
    assert len(everything) > 5000
    assert not left
