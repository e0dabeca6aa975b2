import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from headatlas.annotate.judge import VERDICTS, agreement
from headatlas.annotate.judge.agreement import cohen_kappa


def test_kappa_is_that_of_the_books_and_of_sklearn():
    assert cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    b[:120] = a[:120]
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (a, b), 1)
    assert cohen_kappa(counts) == pytest.approx(cohen_kappa_score(a, b))
    assert math.isnan(cohen_kappa(np.diag([7, 0, 0])))
    assert math.isnan(cohen_kappa(np.zeros((3, 3), dtype=int)))


def test_raters_are_compared_where_both_have_a_verdict():
    c, i, u = VERDICTS
    table = pd.DataFrame(
        {
            "question": [f"q{k // 2}" for k in range(8)],
            "human": [c, c, i, i, u, "", c, i],
            "judge": [c, c, i, c, u, c, "", i],
            "parser": [c, u, i, i, u, i, c, i],
        }
    )
    found = agreement(table)
    pairs = found.pairs.set_index(["rater_a", "rater_b"])
    assert pairs["n"].to_dict() == {("human", "judge"): 6, ("human", "parser"): 7, ("judge", "parser"): 7}
    assert pairs.loc[("human", "judge"), "agreement"] == pytest.approx(5 / 6)
    both = table[(table["human"] != "") & (table["judge"] != "")]
    assert pairs.loc[("human", "judge"), "kappa"] == pytest.approx(cohen_kappa_score(both["human"], both["judge"]))
    assert (pairs["low"] <= pairs["kappa"]).all()
    assert (pairs["kappa"] <= pairs["high"]).all()
    assert found.differences.index.tolist() == [1, 3, 5]
    cell = found.confusion.query(
        "rater_a == 'human' and rater_b == 'judge' and verdict_a == 'incorrect' and verdict_b == 'correct'"
    )
    assert cell["n"].tolist() == [1]
    assert found.confusion["n"].sum() == 6 + 7 + 7


def test_without_human_labels_two_raters_are_left():
    table = pd.DataFrame({"judge": ["correct", "incorrect"], "parser": ["correct", "incorrect"], "human": ["", ""]})
    found = agreement(table)
    assert found.pairs[["rater_a", "rater_b", "kappa"]].to_numpy().tolist() == [["judge", "parser", 1.0]]
    assert found.differences.empty
