"""Heads that stand in for each other are found by their cost while others are missing, for any number of heads."""

from types import SimpleNamespace

import numpy as np
import pytest

from headatlas.scoring.multihead import _redundant
from headatlas.scoring.redundancy import groups_of, halves_of, stand_ins, three_quarters_of, weighted_ridge


def halves(n, count, seed=0):
    return np.random.default_rng(seed).random((count, n)) < 0.5


@pytest.mark.parametrize("count", [400, 12])
def test_weighted_ridge_is_the_closed_form(count):
    """Also with fewer subsets than heads, where it is solved the other way round."""
    masks, numbers = halves(20, count), np.random.default_rng(1)
    y, weights = numbers.normal(size=(count, 3)), numbers.random((count, 3))
    weights[:, 2] = 0
    made = weighted_ridge(masks, y, weights, 0.7)
    for s in range(2):
        w = weights[:, s]
        centred = masks - (w @ masks) / w.sum()
        left = centred.T @ (w[:, None] * centred) + 0.7 * np.eye(20)
        wanted = np.linalg.solve(left, centred.T @ (w * (y[:, s] - (w @ y[:, s]) / w.sum())))
        np.testing.assert_allclose(made[:, s], wanted, atol=1e-9)
    assert (made[:, 2] == 0).all()


def test_additive_shares_come_back_from_readings_that_count():
    masks, wanted = halves(20, 400), np.linspace(0, 1, 20)
    y = (masks @ wanted)[:, None]
    broken = np.random.default_rng(2).random(400) < 0.3
    y[broken] = 8.0
    weights = np.where(broken, 0.0, 1.0)[:, None]
    np.testing.assert_allclose(weighted_ridge(masks, y, weights, 1e-6)[:, 0], wanted, atol=1e-5)


@pytest.mark.parametrize("n", [5, 16, 30])
def test_balanced_halves_leave_every_two_heads_out_in_a_quarter(n):
    made, idle = halves_of(n, 128, np.random.default_rng(0))
    assert made.shape == (128, n)
    assert idle.shape == (128, 64 - n)
    made = np.concatenate([made, idle], 1).astype(float)
    together = made.T @ made / len(made)
    np.testing.assert_allclose(together, np.where(np.eye(64, dtype=bool), 0.5, 0.25))
    # Pair terms do not pass for shares: every product of two is uncorrelated with every single head.
    centred = made - 0.5
    i, j = np.triu_indices(64, 1)
    np.testing.assert_allclose((centred[:, i] * centred[:, j]).T @ centred, 0, atol=1e-12)


def test_many_heads_have_random_halves_with_complements():
    made, idle = halves_of(100, 60, np.random.default_rng(0))
    assert made.shape == (60, 100)
    assert idle.shape == (60, 16)
    assert (made[:30] ^ made[30:]).all()


@pytest.mark.parametrize("n", [2, 5, 12, 40, 100])
def test_three_quarters_of_the_heads_are_missing_in_each_and_each_in_three_quarters(n):
    made, idle = three_quarters_of(n, 128, np.random.default_rng(0))
    both = np.concatenate([made, idle], 1)
    assert both.mean() == pytest.approx(0.75, abs=0.03)
    assert both.mean(0).min() > 0.6
    assert both.mean(0).max() < 0.9
    assert np.linalg.matrix_rank(both - both.mean(0)) == min(both.shape[1], len(both) - 1)


class World:
    """Readings of a model whose damage is known: the sum of `rules(masks)`, nats, each felt by steps of its own, plus noise."""

    def __init__(self, *rules, n_steps=48, noise=0.05):
        self.rules, self.inputs, self.table = rules, SimpleNamespace(seed=0), None
        numbers = np.random.default_rng(7)
        self.gain = numbers.uniform(0.5, 1.5, (len(rules), n_steps))
        self.noise, self.numbers = noise, numbers
        self.rows, self.scene = np.ones(n_steps, bool), np.arange(n_steps) // 2

    def damage(self, masks):
        masks = np.asarray(masks)
        made = sum(rule(masks)[:, None] * gain for rule, gain in zip(self.rules, self.gain, strict=True))
        made = made + self.noise * self.numbers.normal(size=made.shape)
        return made, made, np.ones_like(made), made

    def joint(self, sets, rows):
        masks = np.zeros((len(sets), N), bool)
        for mask, some in zip(masks, sets, strict=True):
            mask[some] = True
        return self.damage(masks)[0].mean(1)

    def groups(self):
        """What the scorer does after its screen: halves of all heads, each alone, then the groups."""
        numbers = np.random.default_rng(3)
        half, idle = halves_of(N, 128, numbers)
        damage, _, mass, _ = self.damage(half)
        share = weighted_ridge(np.concatenate([half, idle], 1), damage, mass, 1.0)
        alone = self.damage(np.eye(N, dtype=bool))[0]
        hidden = np.flatnonzero(stand_ins(share[:N].T, alone.T, self.scene, share[N:].T))
        found = _redundant(hidden, self, self.rows, alone, self.scene, 1.0, numbers)
        return sorted(sorted(group.tolist()) for group, _ in found)


N = 30
TEN = [1, 4, 7, 8, 9, 12, 13, 20, 25, 29]
FOUR = [2, 3, 5, 6]
SINGLES = 0.4 * (np.arange(N) % 10 == 0)  # heads 0, 10 and 20 cost something alone


def singles(masks):
    return masks @ SINGLES


@pytest.mark.parametrize("spare", [2, 3, 4])
def test_ten_heads_are_one_group_however_many_are_spare(spare):
    """Any `spare` of them cost nothing: no pair shows it, and with half of them missing the curve may be straight."""
    world = World(lambda masks: 0.3 * np.maximum(masks[:, TEN].sum(1) - spare, 0), singles)
    assert world.groups() == [TEN]


def test_groups_that_do_not_stand_in_for_each_other_stay_apart():
    world = World(
        lambda masks: 0.3 * np.maximum(masks[:, TEN].sum(1) - 5, 0),
        lambda masks: 0.5 * np.maximum(masks[:, FOUR].sum(1) - 2, 0),
        singles,
    )
    assert world.groups() == [TEN, FOUR]


@pytest.mark.parametrize(
    "rule",
    [
        lambda masks: masks @ np.linspace(0, 0.5, N),  # each does its own work
        lambda masks: 1.0 * masks[:, FOUR].any(1),  # they work in a chain: the loss of one is the loss of all
        lambda masks: 0.0 * masks.sum(1),
    ],
)
def test_heads_that_do_not_stand_in_for_each_other_are_no_group(rule):
    assert World(rule).groups() == []


def test_a_damage_that_is_full_early_is_still_one_group():
    """One of four can be spared, and more than the whole function cannot be lost."""
    world = World(lambda masks: np.minimum(1.5 * np.maximum(masks[:, FOUR].sum(1) - 1, 0), 2.0))
    assert world.groups() == [FOUR]


def test_a_group_stays_whole_if_its_parts_cost_more_together_at_any_level():
    """Of all eight nothing is left, and of either half nothing: only partial removal shows that they share the work."""
    profiles = np.repeat(np.random.default_rng(0).normal(size=(2, 20)), 4, axis=0)

    def shared(sets):
        return np.array([np.minimum(max(len(some) - 2, 0), 2.0) for some in sets])

    def apart(sets):
        return np.array([sum(max(sum(h // 4 == part for h in some) - 2, 0) for part in (0, 1)) for some in sets])

    members, rng = np.arange(8), np.random.default_rng(0)
    assert [group.tolist() for group, _ in groups_of(members, profiles, shared, rng)] == [list(range(8))]
    made = groups_of(members, profiles, lambda sets: apart(sets).astype(float), rng)
    assert sorted(group.tolist() for group, _ in made) == [[0, 1, 2, 3], [4, 5, 6, 7]]
