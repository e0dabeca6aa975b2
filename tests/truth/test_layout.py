"""Layouts: drawn from a seed, checked when made, read from a file."""

import pytest

from headatlas.cogvsr import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.truth.layout import ROLE_SIZES, Layout, Plant


def test_a_drawn_layout_is_a_function_of_its_seed_and_uses_no_head_twice():
    layout = Layout.drawn(3, (6, 8))
    assert layout == Layout.drawn(3, (6, 8)) != Layout.drawn(4, (6, 8))
    assert [plant.function for plant in layout.plants] == list(FUNCTIONS)
    assert sum(len(plant.heads) for plant in layout.plants) == len(layout.heads)
    assert all(len(plant.heads) == ROLE_SIZES[plant.role][0] for plant in layout.plants)
    assert min(head.layer for head in layout.heads) >= 3
    assert sorted(plant.role for plant in layout.plants) == ["distributed", "redundant", "redundant"] + ["single"] * 5


def test_saved_and_loaded(tmp_path):
    layout = Layout.drawn(0, (6, 8))
    layout.save(tmp_path / "layout.json")
    assert Layout.load(tmp_path / "layout.json") == layout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a layout must be JSON"),
        ("[]", "a layout must be JSON"),
        ('{"plants": []}', "one or more functions"),
        ('{"plants": [{"function": "knowledge_recall", "role": "pair", "heads": ["L4.H1"]}]}', "role must be one of"),
        (
            '{"plants": [{"function": "knowledge_recall", "role": "single", "heads": ["L4.H1", "L4.H2"]}]}',
            "needs 1 heads, got 2",
        ),
        ('{"plants": [{"function": "recall", "role": "single", "heads": ["L4.H1"]}]}', "recall"),
        ('{"plants": [{"function": "knowledge_recall", "role": "single", "heads": ["banana"]}]}', "banana"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "layout.json"
    path.write_text(text)
    with pytest.raises(HeadAtlasError, match=message) as error:
        Layout.load(path)
    assert "\n" not in str(error.value)


def test_a_head_is_planted_once():
    with pytest.raises(HeadAtlasError, match=r"got L4\.H1 more than once"):
        Layout((Plant("knowledge_recall", "single", (Head(4, 1),)), Plant("math_reasoning", "single", (Head(4, 1),))))


def test_too_few_heads():
    with pytest.raises(HeadAtlasError, match="upper layers"):
        Layout.drawn(0, (2, 4))
