"""The shape of a grid, and the addresses that it refuses."""

import pytest
import torch
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadGrid, Site


def site(layer, n_heads=3, d_head=4, tower="L"):
    return Site(tower, layer, f"layers.{layer}.o_proj", nn.Linear(n_heads * d_head, 5), n_heads, d_head)


def test_shape_heads_and_towers():
    grid = HeadGrid((site(1), site(0), site(0, 2, 6, "V")))
    assert grid.shape == (2, 3)
    assert grid.d_head == 4
    assert grid.dims("V") == (1, 2, 6)
    assert [s.layer for s in grid.tower()] == [0, 1]
    assert str(grid.heads("V")) == "V0.H0 V0.H1"
    assert len(grid.heads()) == 6


def test_towers_are_named_in_one_order_and_must_exist():
    grid = HeadGrid((site(0), site(0, 2, 6, "V")))
    assert grid.towers_named(["V", "L"]) == grid.towers_named(["all"]) == ("L", "V")
    assert grid.towers_named(["V"]) == ("V",)
    with pytest.raises(HeadAtlasError, match=r"one that the model has \(L, V\), got 'X'"):
        grid.towers_named(["X"])
    with pytest.raises(HeadAtlasError, match="must be one of L, V, X, C or all, got 'W'"):
        grid.towers_named(["W"])


def test_unequal_layers_have_no_dense_shape_but_can_be_addressed():
    grid = HeadGrid((site(0), site(1, 6, 2)))
    assert grid.site(Head(1, 5)).d_head == 2
    with pytest.raises(HeadAtlasError, match="different"):
        _ = grid.shape
    with pytest.raises(HeadAtlasError, match="no addressable"):
        grid.dims("X")


def test_padded_shape_holds_every_layer():
    assert HeadGrid((site(0), site(1, 6, 2))).padded() == (2, 6, 4)
    assert HeadGrid((site(0), site(1))).padded() == HeadGrid((site(0), site(1))).dims()
    with pytest.raises(HeadAtlasError, match="no addressable"):
        HeadGrid((site(0),)).padded("V")


def test_patches_in_a_plane_are_tokens():
    plane = torch.arange(2 * 3 * 5 * 12.0).reshape(2, 3, 5, 12)
    z = site(0).split(plane)
    assert z.shape == (2, 15, 3, 4)
    torch.testing.assert_close(z[1, 7, 2], plane[1, 1, 2, 8:])


@pytest.mark.parametrize("text", ["L2.H0", "L0.H3", "V0.H0"])
def test_unknown_heads_are_refused(text):
    with pytest.raises(HeadAtlasError, match=text.replace(".", r"\.")):
        HeadGrid((site(0), site(1))).check([Head.parse(text)])


def test_split_is_a_view_with_heads_apart():
    hidden = torch.arange(24.0).reshape(1, 2, 12)
    z = site(0).split(hidden)
    assert z.shape == (1, 2, 3, 4)
    assert z.data_ptr() == hidden.data_ptr()
    torch.testing.assert_close(z[0, 1, 2], hidden[0, 1, 8:])
    assert site(0).split(hidden[0]).shape == (1, 2, 3, 4)
    with pytest.raises(HeadAtlasError, match="must be"):
        site(0).split(hidden[..., :-1])
