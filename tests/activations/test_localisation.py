"""Spatial entropy of maps: known spots, and the same numbers where spots are labelled on a device."""

import numpy as np
import pytest
import torch

from headatlas.activations import localisation
from headatlas.activations.localisation import Maps, spatial_entropy, spatial_entropy_on_device, spots


def on_device(maps, planes):
    return spatial_entropy_on_device(torch.as_tensor(maps), planes).numpy()


def grid(height, width):
    """One plane of so many cells."""
    return [(np.arange(height * width), np.stack(np.divmod(np.arange(height * width), width)))]


@pytest.mark.parametrize(
    ("spots", "wanted"), [(((0, 0), (0, 1), (1, 1)), 0.0), (((0, 0), (3, 3)), np.log(2)), (((0, 0), (1, 1)), 0.0)]
)
@pytest.mark.parametrize("compute", [spatial_entropy, on_device])
def test_spatial_entropy_counts_spots(spots, wanted, compute):
    plane = np.zeros((4, 4))
    for spot in spots:
        plane[spot] = 1.0
    row, column = np.divmod(np.arange(16), 4)
    planes = [(np.arange(16), np.stack([row, column]))]
    maps = np.stack([np.zeros(16), plane.ravel(), np.full(16, 0.1, np.float32)])
    made = compute(maps, planes)
    assert np.isnan(made[0])
    assert made[1] == pytest.approx(wanted, abs=1e-9)
    assert made[2] == pytest.approx(np.log(16))  # no cell above the mean


@pytest.mark.parametrize("compute", [spatial_entropy, on_device])
def test_spatial_entropy_joins_the_spots_of_tiles(compute):
    """Spots do not touch across tiles or maps."""
    tile = np.zeros((2, 2))
    tile[0, 1] = 1.0
    index = np.stack(np.divmod(np.arange(4), 2))
    planes = [(np.arange(4), index), (np.arange(4, 8), index)]
    maps = np.stack(
        [np.concatenate([tile.ravel(), 3 * tile.ravel()]), np.concatenate([tile.ravel(), 0 * tile.ravel()])]
    )
    wanted = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    np.testing.assert_allclose(compute(maps, planes), [wanted, 0.0], atol=1e-9)


@pytest.mark.parametrize(("height", "width", "power"), [(24, 24, 1), (7, 13, 1), (16, 16, 4), (1, 30, 1)])
def test_both_ways_give_the_same(height, width, power):
    maps = np.random.default_rng(0).random((300, height * width)).astype(np.float32) ** power
    np.testing.assert_allclose(
        on_device(maps, grid(height, width)), spatial_entropy(maps, grid(height, width)), atol=1e-9
    )


def test_a_long_winding_spot_is_one():
    """A snake through the whole map, whose ends are far apart along it."""
    on = torch.zeros(2, 15, 15, dtype=torch.bool)
    on[0, ::2] = True
    on[0, 1::4, -1] = on[0, 3::4, 0] = True
    on[1, ::2] = True  # stripes
    found = spots(on)
    assert found[0].unique().tolist() == [0, 225]
    assert len(found[1].unique()) == 9
    assert ((found > 0) == on).all()


@pytest.mark.parametrize("at_once", [1, 100, 1 << 24])
def test_maps_of_layers_are_kept_apart(monkeypatch, at_once):
    """Layers with other heads, steps of another layout, and maps that are labelled before the pass is over."""
    monkeypatch.setattr(localisation, "AT_ONCE", at_once)
    rng, planes = torch.Generator().manual_seed(0), grid(3, 4)
    image = torch.arange(2, 14).repeat(2, 1)
    image[1] += 3
    maps = Maps(planes, [2, 0], image)
    rows = {0: (0, 1, 2), 3: (1,)}
    means = {layer: torch.rand(3, len(heads), 20, generator=rng) for layer, heads in rows.items()}
    for layer, heads in rows.items():
        maps.take(layer, heads, means[layer])
    found = maps.localised()
    assert [(layer, heads) for layer, heads, _ in found] == list(rows.items())
    for layer, _, values in found:
        for step, columns, own in zip((2, 0), image, values, strict=True):
            np.testing.assert_allclose(own, spatial_entropy(means[layer][step][:, columns].numpy(), planes), atol=1e-9)
