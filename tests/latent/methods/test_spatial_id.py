"""Spatial IDs: what is common to words of things in one place, and where the words are."""

import numpy as np
import torch

from headatlas.cogvsr.schema import Box
from headatlas.latent.methods.spatial_id import cell_of, mentions_in, spatial_ids
from headatlas.vlm import conversation
from headatlas.vlm.batch import encode


def test_ids_are_what_places_have_in_common():
    rng = np.random.default_rng(0)
    words, places = torch.randn(3, 8), torch.zeros(9, 8)
    places[:4] = torch.eye(8)[:4]
    which, cells = rng.integers(0, 3, 400), rng.integers(0, 4, 400)
    states = words[which] + places[cells] + 0.1 * torch.randn(400, 8)
    ids = spatial_ids(states, [str(k) for k in which], cells)
    expected = places[:4] - places[:4].mean(0)
    assert (ids[:4] - expected).abs().max() < 0.1
    assert not ids[4:].any()


def test_cells_are_counted_row_by_row():
    assert cell_of(Box(x0=0, y0=0, x1=0.2, y1=0.2)) == 0
    assert cell_of(Box(x0=0.8, y0=0.4, x1=1, y1=0.6)) == 5
    assert cell_of(Box(x0=0.99, y0=0.99, x1=1, y1=1)) == 8


def test_words_are_found_where_the_tokens_are(inputs):
    vlm, questions = inputs.vlm, list(inputs.data.split("E"))
    batch = encode(vlm, [conversation(q) for q in questions])
    things = [[("car", Box(x0=0, y0=0, x1=0.2, y1=0.2)), ("red arrow", Box(x0=0.8, y0=0.8, x1=1, y1=1))]] * len(
        questions
    )
    found = mentions_in(vlm, batch, things)
    for row, question in enumerate(questions):
        own = [(at, name, cell) for r, at, name, cell in found if r == row]
        texts = " ".join([question.text, *(f"{step.text} {step.answer}" for step in question.steps)]).lower()
        assert sum(name == "car" for _, name, _ in own) >= texts.count("car") > 0
        for at, name, cell in own:
            said = vlm.tokenizer.decode(batch.ids[row, : at + 1]).lower().rstrip()
            assert said.endswith(("car", "cars")) if name == "car" else said.endswith("arrow")
            assert cell == (0 if name == "car" else 8)
