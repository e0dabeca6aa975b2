"""The tables of several towers, from the one small study of this room."""

import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.results import load
from headatlas.study import make_settings
from headatlas.vlm import load_vlm


def test_every_head_of_the_towers_has_its_row(finished):
    rows = load(finished / "results", "towers")
    grid = load_vlm("ref-llava").heads
    for tower in ("L", "V"):
        some = rows[(rows["tower"] == tower) & (rows["function"] == "spatial_perception")]
        assert len(some) == len(grid.heads(tower))
        assert np.isfinite(some["loss"]).all()
    sets = load(finished / "results", "tower_sets")
    for row in sets.itertuples():
        chosen = rows[(rows["tower"] == row.tower) & (rows["function"] == row.function) & rows["selected"]]
        assert row.k <= len(chosen)
        if row.k:
            assert HeadSet(row.heads).towers() == (row.tower,)


def test_the_language_model_is_as_by_exact_ablation(finished):
    rows, scores = load(finished / "results", "towers"), load(finished / "results", "scores")
    own = rows[(rows["tower"] == "L") & (rows["function"] == "low_level_perception")]
    other = scores[(scores["scorer"] == "ablation") & (scores["function"] == "low_level_perception")]
    np.testing.assert_allclose(own["loss"], other["value"], atol=1e-6)


def test_settings_of_towers():
    assert make_settings("m").towers == ("L",)
    assert make_settings("m", towers="V,L").towers == ("V", "L")
    with pytest.raises(HeadAtlasError, match="towers"):
        make_settings("m", towers=("W",))
