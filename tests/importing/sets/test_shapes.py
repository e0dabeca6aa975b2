import io

import numpy as np
import pytest
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import Unusable
from headatlas.importing.sets.shapes import parse_query, read_grid

SQUARE = np.pad(np.ones((4, 4)), 3)
CIRCLE = np.pad(np.array([[0.3, 1, 1, 0.3], [1, 1, 1, 1], [1, 1, 1, 1], [0.3, 1, 1, 0.3]]), 3)
TRIANGLE = np.pad(np.array([[0, 0.4, 0.4, 0], [0, 1, 1, 0], [0.4, 1, 1, 0.4], [1, 1, 1, 1]]), 3)
INK = {"square": SQUARE, "circle": CIRCLE, "triangle": TRIANGLE}


def picture(**cells: str) -> np.ndarray:
    """Cells are called `r0c2="red circle"`."""
    pixels = np.zeros((30, 30, 3))
    for name, thing in cells.items():
        row, column = int(name[1]), int(name[3])
        color, shape = thing.split()
        channel = ("blue", "green", "red").index(color)
        pixels[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10, channel] = INK[shape] * 230
    return pixels.astype(np.uint8)


PICTURE = picture(r0c0="blue square", r1c0="green circle", r2c2="red triangle")


@pytest.fixture
def shapes(tmp_path):
    def write(*rows: tuple[str, str, str], pixels=PICTURE):
        np.save(tmp_path / "val.input.npy", np.stack([pixels] * len(rows)))
        for i, end in enumerate((".query", ".query_str.txt", ".output")):
            (tmp_path / f"val{end}").write_text("\n".join(row[i] for row in rows) + "\n")
        return tmp_path

    return write


def test_the_layout_is_read_from_pixels():
    assert read_grid(PICTURE) == {(0, 0): ("blue", "square"), (1, 0): ("green", "circle"), (2, 2): ("red", "triangle")}
    assert read_grid(np.zeros((30, 30, 3), np.uint8)) == {}


def test_a_query_is_told_in_steps(read, shapes, derived):
    rows = [
        ("(is blue (above green))", "is a blue shape above a green shape", "true"),
        ("(is circle red)", "is a circle red", "false"),
    ]
    (above, plain), left = read("shapes", shapes(*rows))
    assert not left
    derived(above)
    derived(plain)
    said = {step.text: step.answer for step in above.steps}
    assert said["How many relations does the question name?"] == "1"
    assert said["Which row is the green shape in, counted from the top?"] == "2"
    assert said["How many filled cells lie right next to a green shape and above it?"] == "1"
    assert above.text.startswith("Is a blue shape above a green shape? (Left of")
    assert plain.text == "Is a circle red?"
    with Image.open(io.BytesIO(above.pictures[0].read())) as image:
        assert image.getpixel((5, 5)) == (0, 0, 230)  # the files' channels are blue first, the picture's red first


def test_nothing_lies_outside_the_nine_cells(read, shapes):
    # Below the triangle there is no cell, so nothing can be above that.
    (draft,), left = read(
        "shapes", shapes(("(is red (above (below triangle)))", "is red above below a triangle", "false"))
    )
    assert draft.answer == "no"
    assert not left


def test_what_the_picture_contradicts_is_listed(read, shapes):
    _, left = read("shapes", shapes(("(is blue (above green))", "x", "false"), ("(is blue", "x", "true")))
    assert "is True for the picture" in left[0].reason
    assert "lacks a closing bracket" in left[1].reason
    with pytest.raises(Unusable, match="a query must be"):
        parse_query("(and red blue)")


def test_files_that_do_not_fit_together_are_an_error(read, shapes, tmp_path):
    folder = shapes(("(is red red)", "x", "true"))
    (tmp_path / "val.output").write_text("true\nfalse\n")
    with pytest.raises(HeadAtlasError, match=r"1 pictures, but \[1, 1, 2\] lines"):
        read("shapes", folder)


def test_real_files(read, real, derived):
    drafts, left = read("shapes", real("shapes"))
    assert len(drafts) == 1024 + 64
    assert not left  # every query, evaluated on the pixels, is the set's own output
    for draft in drafts[::20]:
        derived(draft)


def test_two_relations_on_end_are_said_in_english(read, shapes):
    row = ("(is blue (left_of (below green)))", "is a blue shape left of below a green shape", "false")
    ((draft,), _) = read("shapes", shapes(row))
    assert draft.text.startswith("Is a blue shape left of the cell below a green shape? (Left of")
    assert draft.steps[-1].functions == ("relational_reasoning", "spatial_perception", "decision_making")
    assert draft.steps[-1].needs_image
