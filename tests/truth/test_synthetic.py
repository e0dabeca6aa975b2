"""Synthetic worlds: what their rules say is what ablation in them shows."""

import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
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
    assert len(set(heads)) == (3 if kind == "shared" else len(heads))
    assert world.truth.sum() == len(heads)


def test_only_ablations_are_known():
    world = drawn("planted", 0, 80)
    with (
        pytest.raises(HeadAtlasError, match="must be ablations"),
        world.vlm.edit(type("Edit", (), {"factor": 2.0})()),
    ):
        pass
    with pytest.raises(HeadAtlasError, match="got 'flat'"):
        drawn("flat", 0)
