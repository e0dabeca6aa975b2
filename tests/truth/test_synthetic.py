"""Synthetic worlds: ablation shows the effects that their rules define."""

import numpy as np
import pytest
import torch

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, steer
from headatlas.intervention import Condition, ablate
from headatlas.truth.synthetic import KINDS, Rules, SyntheticWorld, drawn

A, B, C = Head(1, 0), Head(1, 1), Head(2, 0)
F, G = FUNCTIONS[0], FUNCTIONS[1]


def accuracy(world, *heads, split="E"):
    edits = (ablate(HeadSet(heads), "zero", None),) if heads else ()
    table = world.runner().run(Condition("", edits), split)
    return table.groupby("function")["correct"].mean(), table["unparsable"].mean()


@pytest.mark.parametrize(
    ("role", "alone", "together"),
    [("single", "lost", "lost"), ("redundant", "kept", "lost"), ("distributed", "half", "lost")],
)
def test_roles(role, alone, together):
    world = SyntheticWorld(Rules((3, 4), {F: (role, (A, B))}, questions=400))
    intact = accuracy(world)[0]
    ranges = {"kept": (-0.04, 0.04), "half": (0.15, 0.6), "lost": (0.5, 1.0)}
    for heads, state in (((A,), alone), ((A, B), together)):
        drop = intact - accuracy(world, *heads)[0]
        low, high = ranges[state]
        assert low < drop[F] < high
        assert abs(drop[G]) < 0.05


def test_format_heads_make_answers_unreadable_and_diffuse_ones_act_by_number():
    world = SyntheticWorld(Rules((3, 4), format_heads=(C,), questions=300))
    assert accuracy(world, C)[1] > 0.7
    assert accuracy(world, A)[1] == 0
    diffuse = SyntheticWorld(Rules((3, 4), diffuse=4.0, questions=300))
    few, many = (accuracy(diffuse, *[Head(0, h) for h in range(n)])[0].mean() for n in (1, 4))
    assert many < few - 0.05


def test_the_same_seed_gives_the_same_world_and_another_gives_another():
    one, two, other = drawn("planted", 3, 80), drawn("planted", 3, 80), drawn("planted", 4, 80)
    assert one.rules == two.rules != other.rules
    assert np.array_equal(one.activations.array, two.activations.array)
    assert one.vlm.fingerprint == two.vlm.fingerprint != other.vlm.fingerprint
    assert (one.runner().baseline("E")["correct"] == two.runner().baseline("E")["correct"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_all_splits_and_functions_and_disjoint_heads(kind):
    world = drawn(kind, 0, 120)
    assert set(world.steps["split"]) == {"P", "S", "T", "E"}
    assert set(world.steps["function"]) == set(FUNCTIONS)
    heads = [head for _, some in world.rules.carriers.values() for head in some]
    if world.rules.shown:
        assert set(world.rules.shown) == {"boxes+mask", "random_boxes"}
    assert len(set(heads)) == (3 if kind == "shared" else len(heads))
    assert world.truth.sum() == len(heads)


def test_steering_moves_only_what_the_rules_say():
    u = lambda world: torch.from_numpy(world._toward_right)  # noqa: E731
    gains = {}
    for kind in ("steerable", "any push", "read only"):
        world = drawn(kind, 0, 600)
        heads = HeadSet(world.rules.carriers[F][1])
        sigma = torch.ones(world.rules.shape)
        rows = world.runner().baseline("E")["function"] == F
        for name, direction in (("toward", u(world)), ("away", -u(world))):
            after = world.runner().run(Condition("", (steer(heads, direction, 2.0, sigma),)), "E")
            gains[kind, name] = (after["logprob"] - world.runner().baseline("E")["logprob"])[rows].mean()
            other = (after["logprob"] - world.runner().baseline("E")["logprob"])[~rows].mean()
            assert abs(other) < 0.1
    assert gains["steerable", "toward"] > 0.2 > -0.2 > gains["steerable", "away"]
    assert gains["any push", "toward"] > 0.2
    assert gains["any push", "away"] > 0.2
    assert max(abs(gains["read only", way]) for way in ("toward", "away")) < 0.1


def test_pictures_help_spatial_steps_as_the_rules_say():
    world = drawn("helped", 0, 600)
    tables = {arm: world.shown_as(arm) for arm in ("original", "boxes+mask", "random_boxes")}
    spatial = tables["original"]["function"].isin(SPATIAL)
    gain = {arm: (table["correct"].mean(), table["correct"][spatial].mean()) for arm, table in tables.items()}
    assert gain["boxes+mask"][1] > gain["original"][1] + 0.05
    assert abs(gain["random_boxes"][1] - gain["original"][1]) < 0.05
    others = [table["logprob"][~spatial].mean() for table in tables.values()]
    assert max(others) - min(others) < 0.02, "steps of other functions gain nothing"


def test_other_edits_are_refused():
    world = drawn("planted", 0, 80)
    with (
        pytest.raises(HeadAtlasError, match="by ablation or by steering"),
        world.vlm.edit(type("Edit", (), {"factor": 2.0})()),
    ):
        pass
    with pytest.raises(HeadAtlasError, match="got 'flat'"):
        drawn("flat", 0)
