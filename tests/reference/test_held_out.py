import numpy as np
import pytest
import torch

from headatlas.reference.held_out import accuracies, lookups
from headatlas.reference.pool import to_float
from headatlas.reference.train import _HELD_OUT_SEED
from headatlas.scenes.build import symbolic
from headatlas.vlm import load_vlm
from headatlas.vlm.chat import conversation
from headatlas.vlm.read import read


def test_equals_reading_the_exported_model(trained, exported):
    """The figures of the log are those that `read` gives, with the processor's tokens and the saved weights."""
    vlm = load_vlm(exported)
    right: dict[str, list[bool]] = {}
    recipe = trained.recipe
    for made in symbolic(recipe.n_held_out, "train", recipe.seed + _HELD_OUT_SEED):
        question = made.rendered()
        readouts = read(vlm, [conversation(question)])[0]
        for step, readout in zip(question.steps, readouts, strict=True):
            right.setdefault(step.function, []).append(readout.exact)
        right.setdefault("final", []).append(readouts[-1].exact)
    found = accuracies(trained)
    assert {"direct", "quiz"} <= set(found)
    wanted = {name: sum(values) / len(values) for name, values in right.items()}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_lookups_are_the_words_that_listings_learn(trained):
    """Counted again, row by row and without padding."""
    encoder, pool = trained.encoder, trained.held_out
    right, all_ = 0, 0
    for i in range(len(pool.lengths("caption"))):
        caption = pool.row("caption", i)
        row = encoder.listing(caption, np.arange(encoder.n_things(caption)))
        pixels = to_float(trained.processor, pool.images(pool.scene["caption"][i : i + 1]))
        ids = torch.from_numpy(row.ids[None].astype(np.int64))
        with torch.no_grad():
            said = trained.model(input_ids=ids, pixel_values=pixels).logits[0].argmax(-1).numpy()
        learned = row.marks[1:] > 0
        right += int((said[:-1] == row.ids[1:])[learned].sum())
        all_ += int(learned.sum())
    assert lookups(trained) == {"listing": pytest.approx(right / all_)}
