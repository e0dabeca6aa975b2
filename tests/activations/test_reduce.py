import pytest
import torch

from headatlas.activations.reduce import StepMeans


def test_means_are_those_of_the_slices():
    z = torch.randn(2, 2, 9, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # [L, B, T, H, D]
    runs = [(0, (1, 4)), (1, (8, 9)), (0, (0, 9)), (1, (2, 4))]
    means = StepMeans(runs, (2, 3, 4), torch.device("cpu"))
    for layer in (1, 0):
        means(layer, z[layer].float())
    assert means.means.dtype == torch.float32
    for k, (row, (start, end)) in enumerate(runs):
        want = z[:, row, start:end].mean(1).float()
        torch.testing.assert_close(means.means[k], want, atol=1e-6, rtol=1e-5)


def test_an_empty_run_is_a_fault():
    with pytest.raises(AssertionError, match="must not be empty"):
        StepMeans([(0, (3, 3))], (1, 1, 1), torch.device("cpu"))
