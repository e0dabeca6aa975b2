import json

import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.scoring import SCORERS, Atlas, Scores, score, scorer


@pytest.fixture(scope="module")
def atlas(linear_scores, paper_scores) -> Atlas:
    return Atlas("planted", {"paper": paper_scores, "linear": linear_scores})


def test_save_and_load_select_the_same(atlas, tmp_path):
    path = atlas.save(tmp_path)
    assert path == tmp_path / "atlas.json"
    again = Atlas.load(tmp_path)
    assert (again.model, list(again.scores), again.shape) == ("planted", ["paper", "linear"], (4, 6))
    for name, before in atlas.scores.items():
        after = again.scores[name]
        assert (after.values == before.values).all()
        assert (after.null == before.null).all()
        assert (after.per_sample.values == before.per_sample.values).all()
        assert after.arrays.keys() == before.arrays.keys()
        for function in FUNCTIONS:
            assert list(again.heads(function, name)) == list(atlas.heads(function, name))
            assert again.ranking(function, name) == atlas.ranking(function, name)
    assert not list(tmp_path.glob("*.part"))
    alone = Atlas.load(path, arrays=False)
    assert alone.of("linear").null is None
    assert alone.heads(FUNCTIONS[0]) == atlas.heads(FUNCTIONS[0])


def test_arrays_that_are_missing_or_others_are_refused(atlas, tmp_path):
    atlas.save(tmp_path)
    arrays = tmp_path / "atlas.npz"
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-100])
    with pytest.raises(HeadAtlasError, match="is not the file that was written"):
        Atlas.load(tmp_path)
    arrays.unlink()
    with pytest.raises(HeadAtlasError, match="is missing"):
        Atlas.load(tmp_path)


def test_an_atlas_prints_a_few_lines(atlas):
    assert len(repr(atlas).splitlines()) <= 12
    assert "<b>" not in Atlas("<b>")._repr_html_()
    assert atlas._repr_html_().count("<tr>") == 8
    assert "spatial_perception" in repr(atlas)
    assert repr(Atlas("m")) == "Atlas of m: empty"


def test_an_atlas_prints_no_head_as_found_that_is_not(scores_of):
    values = np.zeros((8, 2, 5))
    values[:, 0, 1] = 1.0
    chance = repr(Atlas("m", {"ablation": scores_of(values, pvalues=np.full(values.shape, 0.4))}))
    assert "none above chance; the highest are L0.H1" in chance
    assert "not tested against chance" in repr(Atlas("m", {"ablation": scores_of(values)}))
    p = np.ones(values.shape)
    p[0, 0, 1] = 1e-9
    found = repr(Atlas("m", {"ablation": scores_of(values, pvalues=p)})).splitlines()
    assert found[2].split() == ["spatial_perception", "L0.H1"]


def test_json_is_plain(atlas, tmp_path):
    content = json.loads(atlas.save(tmp_path / "mine.json").read_text())
    assert content["functions"] == list(FUNCTIONS)
    assert np.allclose(content["scores"]["paper"]["values"], atlas.of("paper").values)


def test_planted_heads_by_name(atlas, world):
    for c, function in enumerate(FUNCTIONS):
        planted = HeadSet.from_mask(world[1][c])
        assert planted <= atlas.heads(function)
        assert atlas.ranking(function, "linear")[0] in planted
        assert atlas.heads(function, selector="top_k", k=1) == planted


def test_score_takes_options_by_scorer(world):
    told = []
    atlas = score(
        world[0],
        ["linear", "paper"],
        n_null=3,
        seed=1,
        model="m",
        paper={"epochs": 1, "seeds": 1, "probe_splits": ()},
        linear={"folds": 2},
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    assert list(atlas.scores) == ["linear", "paper"]
    assert atlas.of().name == "linear"
    assert len(atlas.of("paper").null) == 3
    assert {what.split(":")[0] for what, _, _ in told} == {"linear", "paper"}
    assert all(done <= total for _, done, total in told)
    again = score(world[0], "linear", n_null=3, seed=1, folds=2)
    assert (again.of().values == atlas.of("linear").values).all()


def test_mistakes(world, tmp_path, atlas):
    for call, message in (
        (lambda: score(world[0], "nope"), "scorer must be one of .*'nope'"),
        (lambda: score(world[0], []), "at least one scorer"),
        (lambda: score(world[0], "linear", sedes=3), "sedes"),
        (lambda: score(world[0], ["linear", "paper"], folds=3), "give options by scorer"),
        (lambda: Atlas.load(tmp_path), "no atlas at"),
        (lambda: Atlas("m").heads(FUNCTIONS[0]), "empty"),
        (lambda: atlas.heads(FUNCTIONS[0], "ablation"), "one of the atlas .paper, linear., got 'ablation'"),
    ):
        with pytest.raises(HeadAtlasError, match=message):
            call()
    for returned, message in (
        (np.zeros((8, 2, 2)), "scorer 'mine' must return Scores, got a ndarray"),
        (Scores("x", np.zeros((8, 1, 1))), "scorer 'mine' must return scores of .* as captured; got 1 x 1"),
    ):
        scorer("mine")(lambda inputs, returned=returned: returned)
        try:
            with pytest.raises(HeadAtlasError, match=message):
                score(world[0], "mine")
        finally:
            SCORERS.remove("mine")
    (tmp_path / "atlas.json").write_text('{"scores": 3}')
    with pytest.raises(HeadAtlasError, match="is not an atlas"):
        Atlas.load(tmp_path)
