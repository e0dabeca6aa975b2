import itertools

from PIL import Image

BLUE, BLACK, YELLOW = "#0099ff", "Black", "Yellow"
RGB = {"blue": (0, 153, 255), "black": (0, 0, 0), "yellow": (255, 255, 0)}


def block(color: str, floor: int) -> dict:
    return {"type": "square", "color": color, "size": 20, "x_loc": 40, "y_loc": 80 - 21 * floor}


TOWERS = [[block(BLUE, 0)], [block(BLACK, 0), block(YELLOW, 1)], [block(YELLOW, 0), block(BLUE, 1), block(BLACK, 2)]]
SCATTER = [
    [{"type": "circle", "color": YELLOW, "size": 10, "x_loc": 5, "y_loc": 30}],
    [{"type": "triangle", "color": BLACK, "size": 30, "x_loc": 70, "y_loc": 1}],
    [{"type": "circle", "color": YELLOW, "size": 20, "x_loc": 50, "y_loc": 50}],
]


def record(sentence: str, boxes: list, label: str = "true", name: str = "7-0") -> dict:
    return {"sentence": sentence, "label": label, "identifier": name, "directory": "3", "structured_rep": boxes}


def answers(draft) -> dict[str, str]:
    return {step.text: step.answer for step in draft.steps}


def test_six_orders_of_the_boxes_are_six_pictures_of_one_group(read, table, derived):
    folder = table([record("There is a tower with a blue block at the base.", TOWERS)], "dev.json")
    drafts, left = read("nlvr", folder)
    assert not left
    assert [d.pictures[0].name for d in drafts] == [f"images/3/dev-7-0-{i}.png" for i in range(6)]
    assert {d.group for d in drafts} == {"7"}
    for draft, order in zip(drafts, itertools.permutations(range(3)), strict=True):
        derived(draft)
        said = answers(draft)
        lowest = ["blue", "black", "yellow"]
        for place, i in zip(("left", "middle", "right"), order, strict=True):
            assert said[f"What colour is the lowest block of the {place} tower?"] == lowest[i]
        assert said["How many of the three towers have a blue block there?"] == "1"
        place = ("left", "middle", "right")[order.index(2)]
        assert said["Which box holds the most things, the left, the middle or the right one?"] == place
        first = draft.objects[0]
        assert (first.column, first.color) == (1, lowest[order[0]])


def test_what_the_sentence_names_is_what_is_looked_at(read, table):
    sentences = [
        record("There is a yellow block on a black block.", TOWERS, name="1-0"),
        record("There is a tower with three blocks.", TOWERS, name="2-0"),
        record("There are 2 yellow circles", SCATTER, name="3-0"),
    ]
    drafts, _ = read("nlvr", table(sentences, "dev.json"))
    stacked, heights, counted = (answers(drafts[i]) for i in (0, 6, 12))
    assert stacked["Does a yellow block lie right on a black block in the middle tower?"] == "yes"
    assert stacked["Does a yellow block lie right on a black block in the right tower?"] == "no"
    assert stacked["In how many of the three towers is that so?"] == "1"
    assert [heights[f"How many blocks has the {p} tower?"] for p in ("left", "middle", "right")] == ["1", "2", "3"]
    assert heights["How many blocks has the highest tower?"] == "3"
    assert counted["How many yellow circles are there in all three boxes?"] == "2"
    assert counted["Does each box hold one tower of blocks?"] == "no"


def test_a_record_of_another_form_is_listed(read, table):
    bad = [
        record("x", TOWERS[:2]),
        record("x", TOWERS, label="perhaps"),
        record("x", [[{"type": "square"}], [], []]),
    ]
    drafts, left = read("nlvr", table(bad, "dev.json"))
    assert not drafts
    assert [one.reason.split(":")[0] for one in left] == ["field structured_rep", "field label", "field structured_rep"]


def test_real_files_pictures_show_what_the_steps_say(read, real, derived):
    folder = real("nlvr")
    drafts, left = read("nlvr", folder)
    assert len(drafts) == 900
    assert not left
    for draft in drafts[::9]:
        derived(draft)
        with Image.open(folder / "dev" / draft.pictures[0].name) as image:
            pixels = image.convert("RGB")
        for thing in draft.objects:
            x, y = thing.box.center
            # a triangle's middle may lie in a thing before it, so squares and circles only
            if thing.cls != "triangle":
                assert pixels.getpixel((int(x * 400), int(y * 100))) in RGB.values()
            if thing.cls == "square" and thing.size == "medium":
                assert pixels.getpixel((int(x * 400), int(y * 100))) == RGB[thing.color]
