import numpy as np
import pytest
from scipy.stats import spearmanr

from headatlas.errors import HeadAtlasError
from headatlas.scoring import agreement


def test_correlation_interval_and_overlap(scores_of):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(8, 6, 8))
    noisy = truth + rng.normal(size=truth.shape)
    noisy[1] = rng.normal(size=(6, 8))
    noisy[2] = truth[2]
    noisy[3] = 0
    table = agreement(scores_of(noisy, "probe"), scores_of(truth, "ablation"), n_boot=300).set_index("function")
    first = table.iloc[0]
    assert np.isclose(first["spearman"], spearmanr(noisy[0].ravel(), truth[0].ravel()).statistic)
    assert 0 < first["low"] < first["spearman"] < first["high"] < 1
    assert table.iloc[1]["low"] < 0 < table.iloc[1]["high"]
    assert table.iloc[2]["spearman"] == pytest.approx(1)
    assert table.iloc[2]["top5_overlap"] == 1
    assert np.isnan(table.iloc[3]["spearman"])
    assert (table["top5_expected"] == 5 / 48).all()
    assert (table["scorer"] == "probe").all()


def test_overlap_of_random_rankings_is_as_expected(scores_of):
    rng = np.random.default_rng(1)
    tables = [
        agreement(scores_of(rng.normal(size=(8, 3, 5))), scores_of(rng.normal(size=(8, 3, 5))), n_boot=2)
        for _ in range(40)
    ]
    found = np.mean([table["top5_overlap"].mean() for table in tables])
    assert abs(found - tables[0]["top5_expected"].iloc[0]) < 0.05


def test_different_grids(scores_of):
    with pytest.raises(HeadAtlasError, match=r"same heads, got grids \(2, 2\)"):
        agreement(scores_of(np.zeros((8, 2, 2))), scores_of(np.zeros((8, 2, 3)), "ablation"))
