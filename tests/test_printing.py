"""`print` and `repr` of public objects are short."""

import numpy as np
import pytest

import headatlas as ha
from headatlas.activations.tokens import TOKENS
from headatlas.cli import COMMANDS
from headatlas.families import FAMILIES
from headatlas.importing import IMPORTERS
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


def test_every_object_prints_at_most_twelve_lines(things):
    for thing in things:
        for text in (repr(thing), str(thing)):
            lines = text.splitlines()
            assert 1 <= len(lines) <= 12, (type(thing), text[:200])
            assert max(map(len, lines)) <= 400, (type(thing), text[:400])


def test_a_question_prints_its_steps():
    shown = str(ha.cogvsr.load("cogvsr-mini")[0])
    assert shown.startswith("Question 'scenes-P-2026-000000': split P, images 1")
    assert "  0. " in shown


@pytest.mark.parametrize(
    "heads", ["L0.H7", ha.Head(0, 7), (0, 7), {ha.Head(0, 7)}, ["L0.H7"], iter([(0, 7)]), ha.HeadSet("L0.H7")]
)
def test_heads_are_accepted_in_every_spelling(heads):
    assert list(ha.HeadSet(ha.zero(heads).heads)) == [ha.Head(0, 7)]


@pytest.mark.parametrize(
    "make", [ha.zero, lambda h: ha.scale(h, 0.5), lambda h: ha.attend(h, "image", 1.0), lambda h: ha.block(h, "image")]
)
@pytest.mark.parametrize("heads", ["L0H7", 5, ["x"], (0,), None])
def test_anything_else_is_one_clear_error(make, heads):
    with pytest.raises(ha.HeadAtlasError, match="head"):
        make(heads)
