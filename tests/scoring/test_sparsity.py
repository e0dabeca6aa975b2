import math

import numpy as np

from headatlas.heads import Head, HeadSet
from headatlas.scoring.sparsity import centroid, jaccard, overlap_table, selection_table, sparsity_table


def heads(*numbers):
    return HeadSet(Head(int(i) // 4, int(i) % 4) for i in numbers)


def test_jaccard_is_corrected_for_chance():
    assert jaccard(heads(0, 1), heads(0, 1), 16) == (1.0, 1.0)
    rng = np.random.default_rng(0)
    drawn = [jaccard(heads(*rng.permutation(16)[:8]), heads(*rng.permutation(16)[:8]), 16) for _ in range(1000)]
    plain, corrected = np.mean(drawn, axis=0)
    assert plain > 0.3
    assert abs(corrected) < 0.02
    assert math.isnan(jaccard(heads(*range(16)), heads(*range(16)), 16)[1])
    assert all(math.isnan(value) for value in jaccard(heads(), heads(), 16))
    assert jaccard(heads(0), heads(), 16) == (0.0, 0.0)


def test_centroid():
    assert centroid(heads(0, 15), 4) == 0.5
    assert centroid(heads(12), 4) == 1
    assert math.isnan(centroid(heads(), 4))


def test_sparsity_table_by_hand(scores_of):
    values, p = np.zeros((8, 2, 4)), np.ones((8, 2, 4))
    values[0, 1, :2], p[0, 1, :2] = 1.0, 1e-5
    row = sparsity_table(scores_of(values, pvalues=p)).iloc[0]
    assert row["function"] == "spatial_perception"
    assert (row["count"], row["share"], row["share_above_threshold"], row["centroid"]) == (2, 0.25, 0.25, 1.0)
    assert np.isclose(row["effective_number"], 2)
    assert np.isclose(row["gini"], 0.75)


def test_tables_have_the_columns_of_the_architecture(linear_scores, scores_of):
    table = selection_table(linear_scores)
    assert list(table.columns) == ["scorer", "function", "selector", "count", "share", "heads", "reason"]
    assert len(table) == 24
    assert (table["heads"].str.split().str.len() == table["count"]).all()
    assert set(selection_table(scores_of(linear_scores.values))["selector"]) == {"elbow", "top_k"}
    overlap = overlap_table(linear_scores)
    assert len(overlap) == 28
    assert list(overlap.columns) == ["scorer", "function_a", "function_b", "jaccard", "jaccard_corrected"]
