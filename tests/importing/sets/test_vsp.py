import pytest
from PIL import Image

from headatlas.importing.sets.vsp import shortest

ROWS = ["| Row 1 | _ | # | * |", "| Row 2 | _ | # | _ |", "| Row 3 | @ | _ | _ |"]


@pytest.fixture
def maze(tmp_path):
    def write(rows=ROWS, task="task1", question="Is there a hole in row 2, column 2?", answer="Y", name="0"):
        level = tmp_path / "maze" / task / "maps" / "level3"
        fields = {"table": "\n".join(["| | Col 1 | Col 2 | Col 3 |", *rows])}
        if task == "task1":
            fields |= {"question": question, "answer": answer}
        for field, text in fields.items():
            (level / field).mkdir(parents=True, exist_ok=True)
            (level / field / f"{name}.txt").write_text(text)
        (level / "img").mkdir(exist_ok=True)
        Image.new("RGB", (30, 30)).save(level / "img" / f"{name}.png")
        return tmp_path

    return write


def test_a_hole_is_looked_up(read, maze, derived):
    (draft,), left = read("vsp", maze())
    assert not left
    derived(draft)
    said = {step.text: step.answer for step in draft.steps}
    assert said["How many holes are there on the whole map?"] == "2"
    assert said["How many holes are in the row that the question names?"] == "1"
    assert said["Which row is the player in, counted from the top?"] == "3"
    assert said["What is in that cell: the player, the goal, a hole or nothing?"] == "a hole"
    assert (draft.answer, draft.pictures[0].name) == ("yes", "maze/task1/maps/level3/img/0.png")
    hole = next(thing for thing in draft.objects if thing.cls == "hole")
    assert (hole.row, hole.column, hole.box.center) == (1, 2, (0.5, pytest.approx(1 / 6)))


def test_the_shortest_way_round_the_holes_is_counted(read, maze, derived):
    (draft,), _ = read("vsp", maze(task="task2"))
    derived(draft)
    said = {step.text: step.answer for step in draft.steps}
    assert (draft.answer, draft.answer_type) == ("4", "number")
    assert said["Is the goal above or below the player?"] == "above"
    assert said["Is the goal left or right of the player?"] == "right"
    assert said["Must the player go a longer way because of the holes?"] == "no"
    around = [list("@#*"), list("_#_"), list("___")]
    assert shortest(around, (0, 0), (0, 2)) == 6
    assert shortest([list("@#*")], (0, 0), (0, 2)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": "N"}, "answer/0.txt must agree with the table, which has a hole there; got 'N'"),
        ({"question": "Where is the goal?"}, "must name a row and a column of the map"),
        ({"question": "Is there a hole in row 9, column 1?"}, "must name a row and a column of the map"),
        ({"rows": ["| Row 1 | _ | @ |"]}, "must have one player and one goal"),
        ({"rows": ["| Row 1 | ? | @ | * |"]}, "must have rows of"),
        ({"rows": ["| Row 1 | @ | # | * |"], "task": "task2"}, "no safe way leads"),
    ],
)
def test_a_map_that_contradicts_itself_is_listed(read, maze, changes, reason):
    drafts, left = read("vsp", maze(**changes))
    assert not drafts
    assert reason in left[0].reason


def test_real_files(read, real, derived):
    drafts, left = read("vsp", real("vsp"))
    assert len(drafts) == 80
    assert not left
    for draft in drafts:
        derived(draft)
    assert {draft.family for draft in drafts} == {"hole", "moves"}
