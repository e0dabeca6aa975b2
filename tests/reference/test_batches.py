import numpy as np
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.reference.batches import END_WEIGHT, LENGTHS, SPATIAL_MARKS, SPATIAL_WEIGHT, padded_lengths
from headatlas.reference.recipe import Recipe
from headatlas.reference.tokens import BLIND

SHARES = {
    "caption": 0.1,
    "listing": 0.1,
    "quiz": 0.1,
    "things": 0.1,
    "own": 0.3,
    "more": 0.2,
    "direct": 0.1,
    "blind": 0.1,
}


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
    batch = trained.sampler.text("whole", 0, {"blind": 1.0})
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


def test_listings_name_each_thing_and_learn_what_it_is_like(trained, tokenizer):
    row = trained.pool.row("caption", 0)
    order = np.arange(trained.encoder.n_things(row))[::-1].copy()
    told = trained.encoder.listing(row, order)
    caption = tokenizer.decode(row.ids[row.marks > 0]).removesuffix("<|end|>").split(" .")[1:-1]
    said = tokenizer.decode(told.ids).split("<|assistant|>")[1].removesuffix("<|end|>").split(" .")[:-1]
    plain = {"row", "column", "facing"}
    for text, whole in zip(said, caption[::-1], strict=True):
        words = whole.split()
        assert text.split() == words[2:4] + [word for word in words[:2] + words[4:] if word not in plain]
    names = [word for text in caption[::-1] for word in text.split()[2:4]]
    given = tokenizer.decode(told.ids[told.marks == 0]).split("<|assistant|>")[1]
    assert [word for word in given.replace("<|end|>", "").split() if word != "."] == names


@pytest.mark.parametrize("kind", [kind for kind in LENGTHS if kind != "plain"])  # plain text needs a base
def test_rows_fit_the_lengths_of_their_kind(trained, kind):
    """As `Sampler` computes them, without drawing a row again."""
    for step in range(4):
        ids = trained.sampler.text("whole", step, {kind: 1.0}).ids
        assert ids.shape[1] in LENGTHS[kind]


def test_shares_go_by_phases():
    recipe = Recipe()
    _, lookup, whole, finish = recipe.horizons
    assert recipe.shares("lookup", 0) == recipe.lookup[0][1]
    assert recipe.shares("lookup", lookup - 1) == recipe.lookup[-1][1]
    assert recipe.shares("whole", 0) == recipe.whole[0][1]
    assert recipe.shares("whole", whole - 1) == recipe.whole[-1][1]
    assert recipe.shares("finish", finish - 1) == recipe.finish[-1][1]
    for phases in (recipe.lookup, recipe.whole, recipe.finish):
        for _, shares in phases:
            assert set(shares) <= set(LENGTHS)
            assert abs(sum(shares.values()) - 1) < 1e-9
    assert recipe.frozen("lookup", lookup - 1)
    assert recipe.frozen("whole", 0)
    assert not recipe.frozen("whole", whole - 1)
    assert not recipe.frozen("finish", 0)


def test_lengths_stretch_only_where_rows_are_longer():
    assert padded_lengths((160, 192, 224), 224) == (160, 192, 224)
    assert padded_lengths((160, 192, 224), 270) == (208, 240, 272)
    assert padded_lengths((64,), 65) == (80,)


def test_marks_take_their_share_of_later_phases_only():
    recipe = Recipe(marks=0.2)
    assert recipe.shares("whole", 0) == recipe.whole[0][1]
    assert recipe.shares("lookup", 0) == recipe.lookup[0][1]
    for shares, before in (
        (recipe.shares("whole", 5000), recipe.whole[1][1]),
        (recipe.shares("finish", 0), recipe.finish[0][1]),
    ):
        assert shares["marked"] == shares["added"] == 0.1
        assert abs(sum(shares.values()) - 1) < 1e-9
        assert abs(shares["own"] / shares["quiz"] - before["own"] / before["quiz"]) < 1e-9
    for wrong in (-0.1, 1.0):
        with pytest.raises(HeadAtlasError, match="marks must be at least 0"):
            Recipe(marks=wrong)
    with pytest.raises(HeadAtlasError, match="only llava"):
        Recipe(family="qwen2_5_vl", marks=0.1)


def test_marked_batches_show_the_marked_pictures(with_marks):
    pool, encoder = with_marks.pool, with_marks.encoder
    for kind, images in (("marked", 1), ("added", 2)):
        batch = with_marks.sampler.text("finish", 1, {kind: 1.0})
        assert ((batch.ids == encoder.image).sum(1) == 36 * images).all()
        pixels = batch.pixels(pool)
        np.testing.assert_array_equal(pixels if images == 1 else pixels[:, 1], pool.marked[batch.scenes])
        if images == 2:
            np.testing.assert_array_equal(pixels[:, 0], pool.pixels[batch.scenes])
        np.testing.assert_array_equal(batch.pixels(pool, slice(1, None, 2)), pixels[1::2])
    assert with_marks.finished
