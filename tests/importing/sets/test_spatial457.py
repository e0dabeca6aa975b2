import json

from headatlas.importing.chain import WHOLE

from .test_clevr import COUNT, SCENE


def test_levels_with_a_scene_are_derived_and_the_others_come_whole(read, tmp_path, derived):
    picture = {"image_filename": SCENE["image_filename"], "question_index": 0}
    program = [
        {"type": n["function"], "inputs": n["inputs"], "value_inputs": n["value_inputs"], "_output": ""} for n in COUNT
    ]
    pose = [*program[:3], {"type": "query_pose", "inputs": [2], "value_inputs": [], "_output": "left"}]
    (tmp_path / "questions").mkdir()
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "all_scenes.json").write_text(json.dumps({"scenes": [SCENE]}))
    for name, question, answer, steps in (
        ("L3_2D_spatial", "How many cubes are left of the sphere?", "1", program),
        ("L4_pose", "Which way does the sphere face?", "left", pose),
        ("L2_objects", "Is there a cube?", "True", [{"type": "scene", "inputs": [], "value_inputs": []}]),
    ):
        rows = [{**picture, "question": question, "answer": answer, "program": steps}]
        (tmp_path / "questions" / f"{name}.json").write_text(json.dumps({"info": {}, "questions": rows}))
    drafts, left = read("spatial457", tmp_path)
    assert not left
    by_level = {draft.family: draft for draft in drafts}
    assert set(by_level) == {"L2_objects", "L3_2D_spatial", "L4_pose"}
    derived(by_level["L3_2D_spatial"])
    assert by_level["L4_pose"].steps[0].kind == WHOLE
    assert by_level["L4_pose"].answer == "left"
    assert by_level["L2_objects"].answer == "yes"
