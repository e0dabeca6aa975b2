"""The folder of a world: model, truth and card, and the errors."""

import json
from dataclasses import replace

import pytest

import headatlas as ha
from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.truth import Layout, Plant, load_world
from headatlas.truth.world import finish, plant

LAYOUT = Layout(
    (
        Plant("spatial_perception", "single", (Head(4, 2),)),
        Plant("knowledge_recall", "redundant", (Head(3, 0), Head(5, 1))),
    ),
    3,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The unchanged ref-llava with a claimed plant: ablation must not confirm it."""
    out = tmp_path_factory.mktemp("world") / "unplanted"
    return finish(ha.load_vlm("ref-llava"), "ref-llava", LAYOUT, out, n_verify=48)


def test_what_was_only_wished_is_not_the_truth(world):
    assert {one.role for one in world.verified} == {"failed"}
    assert world.usable == ()
    assert not world.truth((6, 8)).any()


def test_the_folder_is_a_model_with_its_truth_and_card(world):
    vlm = ha.load_vlm(world.path)
    assert vlm.heads.shape == (6, 8)
    again = load_world(world.path)
    assert again == world
    card = (world.path / "README.md").read_text()
    assert "| Spatial perception | single | L4.H2 | failed |" in card.replace(", not specific", "")
    assert (world.path / "ablations.csv").exists()


def test_mistakes_are_one_line(world, tmp_path):
    with pytest.raises(HeadAtlasError, match=r"a folder with truth\.json, got 'nowhere'"):
        load_world("nowhere")
    kept = json.loads((world.path / "truth.json").read_text())
    del kept["layout"]
    (tmp_path / "truth.json").write_text(json.dumps(kept))
    with pytest.raises(HeadAtlasError, match=r"truth\.json is damaged"):
        load_world(tmp_path)
    with pytest.raises(HeadAtlasError, match="must not exist yet"):
        plant("ref-llava", LAYOUT, tmp_path, tmp_path / "work")


@pytest.mark.parametrize("name", shipped.worlds())
def test_shipped_worlds_load_by_name_and_their_planted_heads_matter(name):
    """Without the planted heads of each usable function its answers fall, on scenes of a seed of its own."""
    from headatlas.heads import HeadSet, zero
    from headatlas.scenes.build import symbolic
    from headatlas.vlm import evaluate

    world, vlm = load_world(name), ha.load_vlm(name)
    assert len(world.usable) >= 3
    questions = [made.rendered() for made in symbolic(40, "E", 5)]
    before = evaluate(vlm, questions).groupby("function")["correct"].mean()
    for one in world.usable[:2]:
        with vlm.edit(zero(HeadSet([Head.parse(head) for head in one.heads]))):
            after = evaluate(vlm, questions).groupby("function")["correct"].mean()
        assert before[one.function] - after[one.function] > (one.intact - one.without["zero"]) / 2


def test_a_head_that_many_functions_need_is_no_functions(world):
    carried = [
        replace(one, role="single", specific=True, minimal=((one.heads[0],),), also=("L0.H0",))
        for one in world.verified
    ]
    three = replace(world, verified=(*carried, replace(carried[0], function="math_reasoning")))
    assert three.general((6, 8)).sum() == 1
    assert not three.truth((6, 8))[:, 0, 0].any()
    two = replace(world, verified=tuple(carried))
    assert not two.general((6, 8)).any()
    assert two.truth((6, 8))[:, 0, 0].sum() == 2
