"""A reader sees z of the last forward and leaves nothing behind."""

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, ZReader, edit_heads, zero


def test_z_has_batch_token_head_dim(vlm):
    with ZReader(vlm.grid) as reader:
        vlm.model(input_ids=vlm.ids)
    n_layers, n_heads, d_head = vlm.grid.dims()
    assert sorted(reader.z) == list(range(n_layers))
    assert {tuple(z.shape) for z in reader.z.values()} == {(2, 9, n_heads, d_head)}


def test_flat_vision_tower_gets_a_batch_axis(tiny_vlm):
    vlm = tiny_vlm("qwen2_5_vl")
    with ZReader(vlm.grid, "V") as reader:
        vlm.model(**vlm.images)
    assert reader.z[0].shape == (1, 8, 2, 8)


def test_reading_changes_nothing(vlm):
    bare = vlm.model(input_ids=vlm.ids).logits
    with ZReader(vlm.grid):
        read = vlm.model(input_ids=vlm.ids).logits
    assert torch.equal(bare, read)


def test_callback_keeps_nothing(llava):
    shapes = []
    with ZReader(llava.grid, on_z=lambda layer, z: shapes.append((layer, tuple(z.shape)))) as reader:
        llava.model(input_ids=llava.ids)
    assert shapes == [(0, (2, 9, 4, 6)), (1, (2, 9, 4, 6))]
    assert reader.z == {}


def test_reader_inside_an_edit_sees_the_edited_z(llava):
    heads = HeadSet.parse("L0.H1")
    with edit_heads(llava.model, llava.grid, [zero(heads)]), ZReader(llava.grid) as reader:
        llava.model(input_ids=llava.ids)
    assert not reader.z[0][:, :, 1].any()
    assert reader.z[0][:, :, 0].any()


def test_hooks_go_also_after_an_error(llava):
    with pytest.raises(KeyError), ZReader(llava.grid):
        raise KeyError("stop")
    assert not any(site.module._forward_pre_hooks for site in llava.grid.sites)


def test_missing_tower_and_reopening_raise(llava):
    with pytest.raises(HeadAtlasError, match="no addressable heads in tower 'X'"):
        ZReader(llava.grid, "X")
    with ZReader(llava.grid) as reader, pytest.raises(HeadAtlasError, match="already open"):
        reader.__enter__()
