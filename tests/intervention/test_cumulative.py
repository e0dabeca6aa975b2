import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.intervention import cumulative_curve

RANKING = [Head(0, 0), Head(1, 0), Head(2, 2)]


def test_the_curve_falls_where_the_planted_head_goes(runner):
    table = cumulative_curve(runner, RANKING, "spatial_perception", operation="zero", scorer="made")
    assert table["k"].tolist() == [0, 1, 2, 3]
    assert table["head"].tolist() == ["", "L0.H0", "L1.H0", "L2.H2"]
    assert table["accuracy"].tolist() == pytest.approx([0.8, 0.8, 0, 0])
    assert table["drop"].iloc[1] == 0
    assert table["drop"].iloc[2] > 1
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()
    assert (table["n"] == 40).all()


def test_doses_and_mistakes(runner):
    assert len(cumulative_curve(runner, RANKING, "spatial_perception", 1, "zero")) == 2
    with pytest.raises(HeadAtlasError, match="from 0 to 3 heads, got 4"):
        cumulative_curve(runner, RANKING, "spatial_perception", 4, "zero")
