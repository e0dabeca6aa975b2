import json

from headatlas.importing.chain import WHOLE

THINGS = [
    ("utility", "red", "small", "rubber", 100, 9.0),
    ("truck", "gray", "large", "metal", 500, 7.0),
    ("articulated", "gray", "small", "metal", 400, 11.0),
]


def scene() -> dict:
    objects = [
        {
            "shape": shape,
            "color": color,
            "size": size,
            "material": material,
            "rotation": 1.0,
            "3d_coords": [0.0, 0.0, 0.0],
            "pixel_coords": [[x, 200, depth], [640, 480]],
            "parts": {"wheel_front": {"size": size, "color": "blue", "material": "rubber"}} if shape == "truck" else {},
        }
        for shape, color, size, material, x, depth in THINGS
    ]
    relations = {
        "left": [[], [0, 2], [0]],
        "right": [[1, 2], [], [1]],
        "front": [[1], [], [0, 1]],
        "behind": [[2], [0, 2], []],
    }
    return {"objects": objects, "relationships": relations, "image_filename": "superCLEVR_new_000000.png"}


def test_english_questions_are_derived_and_checked_against_the_sets_answer(read, tmp_path, derived):
    asked = [
        ("How many things are left of the large truck?", 2),
        ("There is a red bicycle; are there any small gray buss behind it?", True),
        ("What is the color of the front wheel of the truck?", "blue"),
        ("Is the color of the truck the same as the articulated bus?", False),  # it is: the set is wrong
        ("Who sold the truck?", "nobody"),
    ]
    questions = [
        {"image_filename": "superCLEVR_new_000000.png", "question": text, "answer": answer} for text, answer in asked
    ]
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "superCLEVR_new_000000.json").write_text(json.dumps(scene()))
    (tmp_path / "superCLEVR_questions.json").write_text(json.dumps({"info": {}, "questions": questions}))
    drafts, left = read("superclevr", tmp_path)
    assert not left
    assert [draft.answer for draft in drafts] == ["2", "yes", "blue", "no", "nobody"]
    assert [draft.steps[0].kind == WHOLE for draft in drafts] == [False, False, False, True, True]
    derived(drafts[1])
    said = {step.text: step.answer for step in drafts[1].steps}
    assert said["Is the red bicycle in the left or the right half of the picture?"] == "left"
    assert said["How many things are behind the red bicycle?"] == "1"
    alone, _ = read("superclevr", tmp_path / "superCLEVR_questions.json")  # its scenes are found beside it
    assert alone == drafts
    assert [thing.depth for thing in drafts[0].objects] == [1, 0, 2]
    assert drafts[0].objects[2].cls == "articulated bus"


def test_real_files_are_all_derived(read, real, derived):
    drafts, left = read("superclevr", real("superclevr"))
    assert len(drafts) == 463
    assert not left
    assert all(draft.steps[0].kind != WHOLE for draft in drafts)
    assert sum(len({step.function for step in draft.steps}) >= 3 for draft in drafts) == len(drafts)
    assert max(len(draft.steps) for draft in drafts) <= 9
