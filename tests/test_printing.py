"""`print` and `repr` of public objects are short."""

import dataclasses
import inspect
import pkgutil
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

import headatlas as ha
from headatlas.activations.tokens import TOKENS
from headatlas.cli import COMMANDS
from headatlas.families import FAMILIES
from headatlas.heads import as_head
from headatlas.importing import IMPORTERS
from headatlas.printing import brief
from headatlas.reference.recipe import Recipe
from headatlas.report.registry import SECTIONS
from headatlas.results import RESULTS
from headatlas.scoring import SCORERS, SELECTORS, Scores
from headatlas.study import make_settings
from headatlas.vlm import conversation, encode, read

EVERY_HEAD = [(layer, head) for layer in range(6) for head in range(8)]


@pytest.fixture(scope="module")
def things():
    vlm, data = ha.load_vlm("ref-llava", device="cpu"), ha.cogvsr.load("cogvsr-mini")
    question = data[0]
    chat = conversation(question)
    registries = [COMMANDS, FAMILIES, IMPORTERS, RESULTS, SCORERS, SECTIONS, SELECTORS, TOKENS]
    scores = Scores("paper", np.random.default_rng(0).random((8, 6, 8)))
    return [
        *(vlm, vlm.heads, data, data.split("P"), question, question.steps[0], chat, encode(vlm, [chat]), read(vlm, [chat])[0][0]),
        *(ha.Head(0, 7), ha.HeadSet(EVERY_HEAD), ha.zero(EVERY_HEAD), ha.scale("L0.H7", 0.5)),
        ha.attend(EVERY_HEAD, "image", 1.0),
        *(vlm.attention(question.images[0], "what is it?"), scores, ha.Atlas("ref-llava", {"paper": scores})),
        *(RESULTS["scores"], SCORERS["paper"], FAMILIES["gemma3"], SECTIONS["claims"], *registries),
        *(make_settings("ref-llava", n=60, quick=True), Recipe.of("llava")),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def attention_map():
    question = ha.cogvsr.load("cogvsr-mini")[0]
    return ha.load_vlm("ref-llava", device="cpu").attention(question.images[0], "what is it?")


def test_every_object_prints_at_most_twelve_lines(things):
    for thing in things:
        for text in (repr(thing), str(thing)):
            lines = text.splitlines()
            assert 1 <= len(lines) <= 12, (type(thing), text[:200])
            assert max(map(len, lines)) <= 400, (type(thing), text[:400])


@dataclasses.dataclass(frozen=True)
class Large:
    numbers: np.ndarray
    table: pd.DataFrame
    text: str
    named: dict[str, int]
    many: list[int]
    module: torch.nn.Module
    _hidden: int = 0

    __repr__ = brief


def test_a_large_dataclass_prints_one_line_with_the_size_of_each_value():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))
    thing = Large(np.zeros((99, 9)), pd.DataFrame({"a": range(50)}), "x\n" * 99, {"one": 1}, list(range(99)), module)
    shown = repr(thing)
    assert shown.startswith("Large(numbers=<float64 [99, 9]>, table=<50 rows x 1 columns>, text='x\\nx")
    assert shown.endswith("named=<1 by key: one>, many=<99 values>, module=<Sequential>)")
    assert "\n" not in shown


def test_no_public_dataclass_with_large_fields_has_the_usual_repr():
    large = ("ndarray", "Tensor", "DataFrame", "dict", "Mapping", "list[", "Module", "Scores")
    rooms = ["headatlas", *(f"headatlas.{room.name}" for room in pkgutil.iter_modules(ha.__path__) if room.ispkg)]
    for room in map(import_module, rooms):
        for thing in (getattr(room, name) for name in getattr(room, "__all__", ())):
            if (
                inspect.isclass(thing)
                and dataclasses.is_dataclass(thing)
                and "__create_fn__" in thing.__repr__.__qualname__
            ):
                kinds = [str(field.type) for field in dataclasses.fields(thing) if field.repr and field.name[0] != "_"]
                assert not any(kind in text for text in kinds for kind in large), (thing, kinds)


def test_a_question_prints_its_steps():
    shown = str(ha.cogvsr.load("cogvsr-mini")[0])
    assert shown.startswith("Question 'scenes-P-2026-000000': split P, images 1")
    assert "  0. " in shown


@pytest.mark.parametrize(
    "heads", ["L0.H7", ha.Head(0, 7), (0, 7), {ha.Head(0, 7)}, ["L0.H7"], iter([(0, 7)]), ha.HeadSet("L0.H7")]
)
def test_heads_are_accepted_in_every_spelling(heads):
    assert list(ha.HeadSet(ha.zero(heads).heads)) == [ha.Head(0, 7)]


@pytest.mark.parametrize("head", ["L1.H7", ha.Head(1, 7), (1, 7), {ha.Head(1, 7)}, ["L1.H7"], ha.HeadSet("L1.H7")])
def test_a_single_head_is_accepted_in_every_spelling(attention_map, head):
    assert as_head(head) == ha.Head(1, 7)
    assert (attention_map.row(head) == attention_map.weights[15, -1]).all()


def test_several_heads_are_not_a_single_one(attention_map):
    with pytest.raises(ha.HeadAtlasError, match=r"head must be a single one, such as 'L0\.H7', got 2 heads"):
        attention_map.row("L0.H0 L0.H1")


@pytest.mark.parametrize(
    "make", [ha.zero, lambda h: ha.scale(h, 0.5), lambda h: ha.attend(h, "image", 1.0), lambda h: ha.block(h, "image")]
)
@pytest.mark.parametrize("heads", ["L0H7", 5, ["x"], (0,), None])
def test_anything_else_is_one_clear_error(make, heads):
    with pytest.raises(ha.HeadAtlasError, match="head"):
        make(heads)
