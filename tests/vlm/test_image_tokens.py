"""Image tokens are at the stated places: a lit patch of the picture changes the embedding of its own tokens."""

import numpy as np
import pytest
import torch
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.heads import edit_heads, zero
from headatlas.proof.processor import processor_families, write_checkpoint
from headatlas.vlm import Conversation, Turn, encode, load_vlm
from headatlas.vlm.image_tokens import corners_of, in_box, tokens_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy 2 in transformers' own image processors

ELSEWHERE = ("llama4", "mllama")  # cannot be run, no image tokens in the text: tests/vlm/test_towers.py
PLACED = [f for f in processor_families() if family_of(f).image_grid is not None and f not in ELSEWHERE]
SIZES = [(112, 112), (196, 84), (70, 150)]


@pytest.fixture(scope="module", params=PLACED)
def placed(request, tmp_path_factory):
    return load_vlm(write_checkpoint(request.param, tmp_path_factory.mktemp(request.param)), device="cpu")


def chat(picture):
    return Conversation((picture,), (Turn("Which colour is it?", "red"),))


def features(vlm, picture):
    """What the language model is given at the picture's tokens, `[n, d]`; the vision tower's heads are silenced, so that what a
    patch shows stays in its own place."""
    batch = encode(vlm, [chat(picture)])
    seen = []

    def watch(module, args, kwargs):
        seen.append(kwargs["inputs_embeds"])

    handle = vlm.heads.language.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        with torch.no_grad(), edit_heads(vlm.model, vlm.heads, [zero(vlm.heads.heads("V"))]):
            vlm.model(**batch.to(vlm.device, vlm.dtype))
    finally:
        handle.remove()
    return batch, seen[0][0][batch.image_mask[0]]


def lit(picture, center):
    """The picture with a spot of other noise around a point (0..1), smaller than a patch."""
    pixels = np.array(picture)
    x, y = int(center[0] * picture.width), int(center[1] * picture.height)
    spot = pixels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    spot[...] = 255 - spot // 255 * 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
def test_a_lit_patch_lights_its_own_tokens(placed, size):
    picture = Image.fromarray(np.full((size[1], size[0], 3), 30, np.uint8))
    batch, plain = features(placed, picture)
    tokens = tokens_of(placed, batch, 0)
    assert len(tokens) == len(plain)
    numbers = np.random.default_rng(0)
    real = np.flatnonzero(tokens.row >= 0)
    for token in numbers.choice(real[~np.isnan(tokens.boxes[real, 0])], 6):
        x0, y0, x1, y1 = tokens.boxes[token]
        center = (x0 + x1) / 2, (y0 + y1) / 2
        _, changed = features(placed, lit(picture, center))
        moved = (changed - plain).norm(dim=1).numpy()
        for tile in np.unique(tokens.tile):
            here = np.flatnonzero(tokens.tile == tile)
            inside = [
                i for i in here if tokens.boxes[i, 0] - 1e-6 <= center[0] <= tokens.boxes[i, 2] + 1e-6
                and tokens.boxes[i, 1] - 1e-6 <= center[1] <= tokens.boxes[i, 3] + 1e-6
            ]  # fmt: skip
            if not inside:
                assert moved[here].max() <= moved.max() / 2
            elif moved[here].max() > 1e-4 * float(plain.norm(dim=1).mean()):
                assert here[moved[here].argmax()] in inside


def test_separators_and_tiles_are_told(placed):
    picture = Image.new("RGB", (196, 84))
    batch = encode(placed, [chat(picture)])
    tokens = tokens_of(placed, batch, 0)
    assert np.array_equal(np.isnan(tokens.boxes).any(1), np.isnan(tokens.boxes).all(1))
    assert (tokens.image == 0).all()
    covered = np.zeros((40, 40), bool)
    for x0, y0, x1, y1 in tokens.boxes[~np.isnan(tokens.boxes[:, 0])]:
        covered[round(y0 * 40) : round(y1 * 40), round(x0 * 40) : round(x1 * 40)] = True
    # All of the picture is seen, but for what a centre crop cuts off.
    assert covered.mean() > (0.99 if placed.model.config.model_type != "llava" else 84 / 196 - 0.05)


def test_mirrored_pictures_mirror_the_tokens(placed):
    def brightest(picture, center):
        batch, plain = features(placed, picture)
        _, changed = features(placed, lit(picture, center))
        tokens = tokens_of(placed, batch, 0)
        moved = (changed - plain).norm(dim=1).numpy()
        return tokens.boxes[np.where(tokens.tile == -1, moved, -1.0).argmax()]

    picture = Image.fromarray(np.full((112, 112, 3), 30, np.uint8))
    for x, y in ((0.3, 0.2), (0.14, 0.9)):
        x0, y0, x1, y1 = brightest(picture, (x, y))
        mirrored = brightest(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (1 - x, y))
        np.testing.assert_allclose(mirrored, (1 - x1, y0, 1 - x0, y1), atol=1e-6)
        assert x0 <= x <= x1


def test_every_box_has_a_token(placed):
    picture = Image.new("RGB", (112, 112))
    batch = encode(placed, [chat(picture)])
    tokens = tokens_of(placed, batch, 0)
    for x in np.linspace(0.05, 0.9, 5):
        assert in_box(tokens, (x, x, x + 0.02, x + 0.02)).any()
    boxes = np.array([(0.1, 0.2, 0.5, 0.6), (0.0, 0.0, 1.0, 1.0), (0.3, 0.3, 0.31, 0.32)])
    np.testing.assert_array_equal(tokens.touching(boxes), [tokens.touching(box) for box in boxes])
    np.testing.assert_array_equal(tokens.share_in(boxes), [tokens.share_in(box) for box in boxes])


@pytest.mark.parametrize("box", [(0.5, 0.1, 0.4, 0.9), (0, 0, 2, 1), "left", (0.1, 0.2, 0.3)])
def test_wrong_boxes_are_refused(box):
    with pytest.raises(HeadAtlasError, match="box must"):
        corners_of(box)


def test_families_without_a_grid_say_so(tmp_path_factory):
    vlm = load_vlm(write_checkpoint("mllama", tmp_path_factory.mktemp("mllama")), device="cpu")
    picture = Image.new("RGB", (112, 112))
    batch = encode(vlm, [chat(picture)])
    with pytest.raises(HeadAtlasError, match="have no place in the text"):
        tokens_of(vlm, batch, 0)
