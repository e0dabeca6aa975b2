import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from headatlas.scoring.auc import auc, auc_columns, weighted_auc


def test_auc_agrees_with_sklearn_with_ties():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, 100).astype(float), rng.random(100) < 0.3
    assert np.isclose(auc(scores, labels), roc_auc_score(labels, scores))
    weights = rng.integers(0, 4, size=(3, 100)).astype(float)
    want = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    assert np.allclose(weighted_auc(scores, labels, weights), want)


def test_auc_columns_agree_with_sklearn():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(3, 60, 4)), rng.random((60, 4)) < 0.4
    labels[:, 3] = False
    area = auc_columns(torch.as_tensor(scores), torch.as_tensor(labels)).numpy()
    want = [[roc_auc_score(labels[:, k], scores[j, :, k]) for k in range(3)] for j in range(3)]
    assert np.allclose(area[:, :3], want)
    assert (area[:, 3] == 0.5).all()


def test_auc_columns_count_ties_half():
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 4, size=(3, 60, 2)).astype(float), rng.random((60, 2)) < 0.4
    scores[0] = 0.0  # a head that never changes tells nothing, in whatever order the rows are
    scores[1] = rng.normal(size=(60, 2))
    area = auc_columns(torch.as_tensor(scores), torch.as_tensor(labels)).numpy()
    want = [[roc_auc_score(labels[:, k], scores[j, :, k]) for k in range(2)] for j in range(3)]
    assert np.allclose(area, want)
    assert (area[0] == 0.5).all()
