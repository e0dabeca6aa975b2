import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import pair_effects

ROLE, IDLE, OTHER = Head(1, 0), Head(2, 2), Head(1, 1)


def test_pairs_of_a_model_where_one_head_has_the_role(runner):
    """The planted head loses alone what any pair with it loses: no interaction; two idle heads lose nothing."""
    table = pair_effects(runner, HeadSet([ROLE, IDLE, OTHER]), "spatial_perception", "zero", split="E")
    rows = table.set_index(["head_a", "head_b"])
    assert len(rows) == 3
    with_role = rows.loc[(str(ROLE), str(IDLE))]
    assert with_role["drop_a"] > 1
    assert with_role["drop_b"] == 0
    assert with_role["interaction"] == pytest.approx(0)
    assert with_role["accuracy_drop"] == pytest.approx(0.8)
    idle = rows.loc[(str(IDLE), str(OTHER))]
    assert (idle[["drop_a", "drop_b", "drop_both"]] == 0).all()
    assert (table["n"] == 40).all()
    assert np.isfinite(table[["low", "high"]].to_numpy()).all()


def test_mistakes_are_one_line(runner):
    with pytest.raises(HeadAtlasError, match="at least two heads"):
        pair_effects(runner, HeadSet([ROLE]), "spatial_perception", "zero", split="E")
    with pytest.raises(HeadAtlasError, match="no step of 'knowledge_recall'"):
        pair_effects(runner, HeadSet([ROLE, IDLE]), "knowledge_recall", "zero", split="E")
