import numpy as np
import torch

from headatlas.vlm.reference.batches import END_WEIGHT, SPATIAL_MARKS, SPATIAL_WEIGHT
from headatlas.vlm.reference.recipe import Recipe
from headatlas.vlm.reference.tokens import BLIND

SHARES = {"caption": 0.2, "things": 0.1, "own": 0.3, "more": 0.2, "direct": 0.1, "blind": 0.1}


def test_a_batch_follows_from_seed_stage_and_step(trained):
    sampler = trained.sampler
    first, again, next_one = (sampler.text("whole", step, SHARES) for step in (3, 3, 4))
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.weights, again.weights)
    assert first.ids.shape != next_one.ids.shape or not torch.equal(first.ids, next_one.ids)
    assert not np.array_equal(sampler.patches(0, 8), sampler.patches(1, 8))


def test_rows_go_with_their_pictures(trained):
    """Every row of a batch is a row of the pool that belongs to the scene the batch names."""
    pool = trained.pool
    batch = trained.sampler.text("whole", 1, {"more": 1.0})
    for ids, scene in zip(batch.ids.tolist(), batch.scenes, strict=True):
        own = [pool.row("more", int(i)).ids.tolist() for i in np.flatnonzero(pool.scene["more"] == scene)]
        assert any(ids[: len(row)] == row and set(ids[len(row) :]) <= {trained.tokenizer.pad_token_id} for row in own)


def test_weights_are_those_of_the_marks(trained):
    row = trained.pool.row("own", 0)
    ids, weights = trained.sampler.collate([row], 224)
    assert ids.shape == weights.shape == (1, 224)
    for token, mark, weight in zip(row.ids, row.marks, weights[0].tolist(), strict=False):
        wanted = float(mark > 0) * (SPATIAL_WEIGHT if mark % BLIND in SPATIAL_MARKS else 1.0)
        wanted *= END_WEIGHT if token == trained.encoder.end else 1.0
        assert abs(weight - wanted) < 1e-6
    assert weights[0, len(row.ids) :].sum() == 0


def test_blind_batches_have_no_image_and_learn_only_what_needs_none(trained):
    batch = trained.sampler.text("language", 0, {"blind": 1.0})
    assert not (batch.ids == trained.encoder.image).any()
    cut = trained.encoder.without_image(trained.pool.row("own", 0))
    _, weights = trained.sampler.collate([cut], 224, blind=True)
    np.testing.assert_array_equal(weights[0, : len(cut.ids)].numpy() > 0, cut.marks >= BLIND)


def test_descriptions_tell_the_captions_things_by_name(trained, tokenizer):
    row = trained.pool.row("caption", 0)
    n = trained.encoder.n_things(row)
    order = np.arange(n)[::-1].copy()
    told = trained.encoder.things(row, order)
    said = tokenizer.decode(told.ids[told.marks > 0]).replace(".", " ").split("<|end|>")[:-1]
    caption = tokenizer.decode(row.ids[row.marks > 0]).removesuffix("<|end|>").split(" .")
    assert [text.split() for text in said] == [text.split() for text in caption[n:0:-1]]
    asked = tokenizer.decode(told.ids[told.marks == 0]).split("describe the")[1:]
    for request, text in zip(asked, said, strict=True):
        assert request.split(" .")[0].split() == text.split()[2:4]


def test_descriptions_are_many_at_first():
    recipe = Recipe()
    last_step = recipe.horizons[2] - 1
    first, last = recipe.shares("whole", 0), recipe.shares("whole", last_step)
    assert first["caption"] == recipe.descriptions[0][1] > last["caption"] == recipe.descriptions[-1][1]
    assert abs(sum(last.values()) - 1) < 1e-9
    assert recipe.shares("finish", 0)["things"] == recipe.finish[0][2]
    assert recipe.shares("language", 0) == {"blind": 0.5, "blind_more": 0.5}
    assert recipe.early("whole", 0)
    assert recipe.early("finish", 0)
    assert not recipe.early("whole", last_step)
    assert not recipe.early("language", 0)
