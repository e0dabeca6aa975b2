import json

from headatlas.importing.chain import WHOLE


def thing(shape: str, color: str, place: list[float], x: int, depth: float) -> dict:
    at = [x, 100, depth]
    return {
        "shape": shape,
        "color": color,
        "size": "large",
        "material": "metal",
        "3d_coords": place,
        "pixel_coords": at,
    }


SCENE = {
    "image_filename": "CLEVR_val_000003.png",
    "directions": {"left": [-1, 0, 0], "right": [1, 0, 0], "front": [0, -1, 0], "behind": [0, 1, 0]},
    "objects": [
        thing("cube", "red", [0, 0, 0], 50, 9.0),
        thing("sphere", "blue", [2, 1, 0], 300, 10.0),
        thing("cube", "green", [3, -1, 0], 400, 8.0),
    ],
}


def node(kind: str, inputs: list[int], *values: str) -> dict:
    return {"function": kind, "inputs": inputs, "value_inputs": list(values)}


COUNT = [
    node("scene", []),
    node("filter_shape", [0], "sphere"),
    node("unique", [1]),
    node("relate", [2], "left"),
    node("filter_shape", [3], "cube"),
    node("count", [4]),
]


def test_programs_are_told_on_scenes_without_relations_of_their_own(read, tmp_path, derived):
    question = {"image_filename": "CLEVR_val_000003.png", "question": "How many cubes are left of the sphere?"}
    rows = [{**question, "answer": "1", "program": COUNT}, {**question, "answer": "2", "program": COUNT}]
    (tmp_path / "CLEVR_val_questions.json").write_text(json.dumps({"questions": rows}))
    (tmp_path / "CLEVR_val_scenes.json").write_text(json.dumps({"scenes": [SCENE]}))
    (right, wrong), left = read("clevr", tmp_path)
    assert not left
    derived(right)
    said = {step.text: step.answer for step in right.steps}
    assert said["How many cubes are there?"] == "2"
    assert said["How many things are to the left of the sphere?"] == "1"
    assert wrong.steps[0].kind == WHOLE  # the scene says 1, the set 2: the question stays, its steps are not believed
    assert wrong.answer == "2"


def test_scenes_without_questions_are_asked_some(read, tmp_path, derived):
    (tmp_path / "room.json").write_text(json.dumps(SCENE))
    drafts, left = read("clevr", tmp_path)
    assert not left
    assert len(drafts) == 4
    assert {draft.family for draft in drafts} <= {"related", "query", "count", "same"}
    for draft in drafts:
        derived(draft)
        assert draft.pictures[0].name == "room.png"
    again, _ = read("clevr", tmp_path)
    assert [d.text for d in again] == [d.text for d in drafts]
    other, _ = read("clevr", tmp_path, seed=1)
    assert [d.text for d in other] != [d.text for d in drafts]


def test_real_scenes(read, real):
    drafts, left = read("clevr", real("clevr"))
    assert len(drafts) == 44
    assert not left
    assert {draft.pictures[0].name for draft in drafts} >= {"CLEVR_new_000000_64_64.png"}
