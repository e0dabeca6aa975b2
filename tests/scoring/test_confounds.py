import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.auc import auc
from headatlas.scoring.confounds import fit_surface, text_only_scores


def steps(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "step": rng.integers(0, 3, n),
            "n_steps": 3,
            "gold": rng.choice(["yes", "left side", "2"], n),
            "answer_type": rng.choice(["yes_no", "text"], n),
            "text_of_step": rng.choice(["what colour", "how many"], n),
        }
    )


def test_design_is_standardised_on_the_split_it_was_fitted_on():
    table = steps()
    surface = fit_surface(table, ("answer_length", "step", "answer_type", "answer_words"))
    design = surface(table)
    assert design.shape == (60, 2 + 4 + 2 + 4)  # words and characters; 3 steps and the last; types; yes left side 2
    assert np.allclose(design.mean(0), 0)
    assert np.allclose(design.std(0), 1)
    unseen = table.assign(gold="unseen words", step=9)
    assert surface(unseen).shape == design.shape


def test_text_alone_finds_what_the_text_gives_away():
    table = steps()
    labels = np.stack([table["text_of_step"] == "how many", np.random.default_rng(1).random(60) < 0.5], axis=1)
    scores = text_only_scores(table, labels, table)
    assert auc(scores[:, 0], labels[:, 0]) == 1
    blind = text_only_scores(table.drop(columns="text_of_step"), labels, table.drop(columns="text_of_step"))
    assert auc(blind[:, 0], labels[:, 0]) < 0.9


def test_unknown_kind():
    with pytest.raises(HeadAtlasError, match="got 'smell'"):
        fit_surface(steps(), ("smell",))
