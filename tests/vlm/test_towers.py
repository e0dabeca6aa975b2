"""Attention of vision towers and cross-attention: rows by the reader, keys by their place in the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.families.image_grid import image_tokens
from headatlas.heads import AttentionReader, edit_heads, zero
from headatlas.proof.processor import write_checkpoint
from headatlas.vlm import Conversation, Turn, encode, load_vlm
from headatlas.vlm.image_tokens import cross_tokens_of

TEXT = "Is the red car left of the blue arrow?"


def picture(size=(32, 32), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def mllama(tmp_path_factory):
    return load_vlm(write_checkpoint("mllama", tmp_path_factory.mktemp("mllama")), device="cpu")


def test_patches_of_a_vision_tower(tiny_vlm):
    found = tiny_vlm.attention(picture(), TEXT, ["V0.H1", "V1.H0"])
    batch = encode(tiny_vlm, [Conversation((picture(),), (Turn(TEXT),))], generation_prompt=True)
    with torch.no_grad(), AttentionReader(tiny_vlm.model, tiny_vlm.heads, ["V0.H1"]) as reader:
        tiny_vlm.model(**batch.inputs)
    np.testing.assert_allclose(found.weights[0], reader.rows[0].weights[0, 0], atol=1e-6)
    assert found.weights.shape == (2, 5, 5)  # a class token and four patches
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert np.isnan(found.image_tokens.boxes[0]).all()
    np.testing.assert_allclose(found.image_tokens.boxes[2], (0.5, 0, 1, 0.5))
    maps = found.on_image(query=3, size=(2, 2))
    np.testing.assert_allclose(maps[1].ravel(), found.weights[1, 3, 1:], atol=1e-6)
    assert found.overlay("V1.H0").size == (336, 336)
    assert found.grid().width > 0


def test_two_pictures_do_not_see_each_other(tiny_vlm):
    from headatlas.vlm.attention import attention_map

    chat = Conversation((picture(), picture(seed=1)), (Turn(TEXT),))
    found = attention_map(tiny_vlm, chat, ["V1.H1"])
    assert found.weights.shape == (1, 10, 10)
    assert (found.weights[0, :5, 5:] == 0).all()
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    with pytest.raises(HeadAtlasError, match="one square"):
        found.on_image()


def test_requests_that_a_tower_cannot_answer(tiny_vlm):
    with pytest.raises(HeadAtlasError, match="leave queries out"):
        tiny_vlm.attention(picture(), TEXT, ["V0.H0"], queries=[0])
    with pytest.raises(HeadAtlasError, match="one tower at a time"):
        tiny_vlm.attention(picture(), TEXT, ["L0.H0", "V0.H0"])


@pytest.mark.parametrize("size", [(112, 112), (196, 84), (70, 150)])
def test_keys_of_cross_attention_have_their_place(mllama, size):
    """A lit spot moves the key of its own patch; the tower's heads are silenced, so that it stays in its place."""
    plain = Image.fromarray(np.full((size[1], size[0], 3), 30, np.uint8))
    found = mllama.attention(plain, TEXT, ["X0.H1"])
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    n = found.weights.shape[2]
    batch = encode(mllama, [Conversation((plain,), (Turn(TEXT),))], generation_prompt=True)
    tokens = cross_tokens_of(mllama, batch, 0, n)
    np.testing.assert_array_equal(tokens.boxes, found.image_tokens.boxes)

    def states(image):
        seen = []
        module = mllama.model.get_submodule(mllama.heads.tower("X")[0].owner)
        handle = module.register_forward_pre_hook(
            lambda m, args, kwargs: seen.append(kwargs["cross_attention_states"]), with_kwargs=True
        )
        try:
            one = encode(mllama, [Conversation((image,), (Turn(TEXT),))], generation_prompt=True)
            with torch.no_grad(), edit_heads(mllama.model, mllama.heads, [zero(mllama.heads.heads("V"))]):
                mllama.model(**one.to(mllama.device, mllama.dtype))
        finally:
            handle.remove()
        return seen[0].reshape(n, -1)

    before = states(plain)
    real = np.flatnonzero(~np.isnan(tokens.boxes[:, 0]))
    assert len(real)
    for token in np.random.default_rng(0).choice(real, 5):
        x0, y0, x1, y1 = tokens.boxes[token]
        x, y = int((x0 + x1) / 2 * size[0]), int((y0 + y1) / 2 * size[1])
        pixels = np.array(plain)
        pixels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 255
        moved = (states(Image.fromarray(pixels)) - before).norm(dim=1).numpy()
        brightest = tokens.boxes[moved.argmax()]
        assert brightest[0] - 1e-6 <= x / size[0] <= brightest[2] + 0.02
        assert brightest[1] - 1e-6 <= y / size[1] <= brightest[3] + 0.02


@pytest.mark.parametrize("size", [(56, 56), (150, 70), (60, 200)])
def test_tokens_of_llama4_are_where_the_processor_puts_the_pixels(tmp_path, size):
    """transformers 5.24 cannot run the model, so a lit spot is looked for in the tiles that it would be given."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(write_checkpoint("llama4", tmp_path))
    grid = family_of("llama4").image_grid

    def tiles(image):
        made = processor.image_processor(images=[image], return_tensors="pt")["pixel_values"].float().numpy()
        return made.reshape(-1, *made.shape[-3:])

    plain = Image.fromarray(np.full((size[1], size[0], 3), 30, np.uint8))
    before = tiles(plain)
    side = 4
    tokens = image_tokens(grid, processor, None, [size], len(before) * side**2)
    patch = before.shape[-1] // side
    for x, y in ((5, 5), (size[0] - 6, 8), (size[0] // 2, size[1] - 6)):
        pixels = np.array(plain)
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 255
        moved = np.abs(tiles(Image.fromarray(pixels)) - before).sum(1)
        for tile in range(len(before)):
            if moved[tile].max() < 0.5:
                continue
            row, column = np.unravel_index(moved[tile].argmax(), moved[tile].shape)
            box = tokens.boxes[tile * side**2 + row // patch * side + column // patch]
            assert box[0] - 0.02 <= (x + 0.5) / size[0] <= box[2] + 0.02
            assert box[1] - 0.02 <= (y + 0.5) / size[1] <= box[3] + 0.02
