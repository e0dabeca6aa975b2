"""What the stage `score` writes of a scorer that another package registered."""

import numpy as np
import pytest

from headatlas.results import RESULTS, validate
from headatlas.scoring import SCORERS, Scores, scorer
from headatlas.study.claims import judge
from headatlas.study.stages.score import scorers_table, scores_table


@pytest.fixture
def mine():
    @scorer("mine", title="my scorer", unit="cats")
    def mine(inputs):
        """How many cats a head sees. Needs cats."""
        return Scores("mine", np.arange(8.0 * 6).reshape(8, 2, 3))

    yield SCORERS["mine"]
    SCORERS.remove("mine")


def test_a_scorer_from_outside_brings_its_own_names(mine):
    table = validate("scorers", scorers_table(["linear", "mine"]))
    assert table["scorer"].tolist() == ["linear", "mine"]
    assert tuple(table.iloc[1, 1:]) == ("my scorer", "Mine", "How many cats a head sees.", "cats", "")


def test_the_claims_call_it_by_its_name(mine):
    tables = {"scorers": scorers_table(["mine"])}
    claims = judge(lambda name: tables.get(name, RESULTS[name].empty()), ["mine"])
    assert "by my scorer" in claims[0].sentence


def test_scores_are_one_row_a_function_and_head(mine):
    table = validate("scores", scores_table(mine.function(None)))
    assert len(table) == 48
    assert table["p"].isna().all()
    assert table["value"].tolist() == list(range(48))
