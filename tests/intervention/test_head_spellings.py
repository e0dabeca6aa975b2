"""Every function of the room that takes heads takes them in every spelling, and refuses anything else with one error."""

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import (
    ablate,
    cumulative_curve,
    damage_matrix,
    dose_curve,
    greedy_set,
    least_important,
    negative,
    pair_effects,
    random_sets,
)
from headatlas.scoring.sparsity import centroid, jaccard

FUNCTION = "spatial_perception"
SPELLINGS = ["L1.H0 L2.H2", ["L1.H0", (2, 2)], [Head(1, 0), Head(2, 2)], HeadSet([Head(1, 0), Head(2, 2)])]

CALLS = {
    "ablate": lambda runner, heads: ablate(heads, "zero").fingerprint,
    "random_sets": lambda runner, heads: random_sets(heads, (4, 8), 5, exclude=heads),
    "least_important": lambda runner, heads: least_important(heads, 1),
    "negative": lambda runner, heads: negative(runner, heads, FUNCTION, [], "zero")["drop"],
    "pairs": lambda runner, heads: pair_effects(runner, heads, FUNCTION, "zero", split="E").to_numpy().tolist(),
    "cumulative": lambda runner, heads: cumulative_curve(runner, heads, FUNCTION, operation="zero").to_numpy().tolist(),
    "dose": lambda runner, heads: dose_curve(runner, heads, FUNCTION, [1], "zero", n_random=1)["accuracy"].tolist(),
    "damage": lambda runner, heads: damage_matrix(runner, {FUNCTION: heads}, "zero")["drop"].max(),
    "greedy": lambda runner, heads: greedy_set(runner, heads, FUNCTION, operation="zero").heads,
    "centroid": lambda runner, heads: centroid(heads, 4),
    "jaccard": lambda runner, heads: jaccard(heads, "L1.H0", 32),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_spelling_means_the_same(runner, name):
    first, *others = [CALLS[name](runner, heads) for heads in SPELLINGS]
    assert all(other == first for other in others)


@pytest.mark.parametrize("name", CALLS)
def test_anything_else_is_one_error(runner, name):
    with pytest.raises(HeadAtlasError, match=r"heads must be 'L0\.H7', Head\(0, 7\)|a head must be written like"):
        CALLS[name](runner, ["L1.H0", 3.5])
