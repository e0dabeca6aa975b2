"""Inputs have the family's image tokens in the right number, and rows are padded on the given side."""

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.proof import InputMaker, tiny_model


def test_image_tokens_are_as_many_as_features(tiny):
    inputs = tiny.maker([0])
    token = tiny.model.config.image_token_id
    assert (inputs["input_ids"] == token).sum() == 16  # 4 x 4 patches
    assert inputs["pixel_values"].shape == (1, 3, 56, 56)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_on_its_side_and_rows_are_kept(tiny, side):
    batch = tiny.maker((0, 1), side)
    a, b = tiny.maker.lengths()
    assert a > b
    assert batch["attention_mask"].sum(1).tolist() == [a, b]
    gap = slice(None, a - b) if side == "left" else slice(b, None)
    assert not batch["attention_mask"][1, gap].any()
    real = batch["attention_mask"][1].bool()
    assert torch.equal(batch["input_ids"][1, real], tiny.maker([1])["input_ids"][0])
    assert torch.equal(batch["pixel_values"][1:], tiny.maker([1])["pixel_values"])


def test_rows_of_different_length_need_a_side(tiny):
    with pytest.raises(HeadAtlasError, match="name a side"):
        tiny.maker((0, 1))


def test_qwen_gets_patches_grid_and_token_types():
    model = tiny_model("qwen2_5_vl")
    inputs = InputMaker(model, "qwen2_5_vl", family_of("qwen2_5_vl").tiny_model).with_images()([0])
    merged = int(inputs["image_grid_thw"].prod()) // 4
    assert int(inputs["mm_token_type_ids"].sum()) == merged
    assert inputs["pixel_values"].shape[0] == 4 * merged


def test_a_family_without_a_processor_tells_why():
    model = tiny_model("mistral4")
    with pytest.raises(HeadAtlasError, match="no image processor"):
        InputMaker(model, "mistral4", family_of("mistral4").tiny_model).with_images()
