"""Redundant groups: heads that stand in for each other, found by what each costs while others are missing.

Ablating a head alone costs nothing if other heads do the same work. So, for each function:

1. Stand-ins: heads whose share of the damage in halves of all heads (their mean cost while others are missing) is larger than
   their damage alone, by a test over scenes, Benjamini-Hochberg over the heads, and beyond the error of the design.
2. Completed: all stand-ins are ablated, and each other head in addition. Heads that cost more then than alone did the work of
   the stand-ins, and are stand-ins that step 1 missed.
3. Confirmed among themselves: halves and three quarters of the stand-ins are ablated, all other heads intact. Those whose mean
   share is still larger than their damage alone stay. In halves a large group still does its work; in three quarters the work
   of a small one is all lost.
4. One group, or several: the heads are one group if two parts of it cost more together than the sum of their costs, at any
   level of removal. If they do not, neither part stands in for the other, and each part is examined in the same way. Parts are
   proposed by how alike the shares of heads are over steps, and their cost is measured; heads that serve the same steps equally
   cannot be separated.
5. A group is kept if it costs more than its heads one by one.

A group that still works without half of its heads costs little in most halves of all heads, and step 1 may miss it.

Halves come with their complements, and are balanced where heads are few (`halves_of`), so that what two heads cost together
is not counted as the share of a third. The joint cost of three or more still can be; columns that belong to no head show how
large this error is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.linalg import hadamard
from scipy.spatial.distance import squareform

from headatlas.scoring.ablation import N_NULL, sign_flip_p, sign_flips
from headatlas.stats import benjamini_hochberg

MARGIN = 0.01
"""Damage that still counts as none, nats."""
Q = 0.05
BALANCED = 64
"""Columns of the largest balanced design."""
IDLE = 4
"""Least number of columns that belong to no head."""
LEVELS = (0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0)
"""Shares of both parts of a group that are ablated to see whether they stand in for each other."""
TOLERANCE = 0.1
"""Two parts count as two groups if they cost at most this share of the whole group's cost more together than apart."""

Joint = Callable[[Sequence[np.ndarray]], Float[np.ndarray, " R"]]
"""The mean damage of each of some sets of heads, nats."""


def halves_of(
    n: int, at_most: int, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "R n"], Bool[np.ndarray, "R m"]]:
    """Halves of n heads, each with its complement, so that every head is missing in half of the subsets; and m idle columns,
    drawn alike, which belong to no head.

    If there are enough of them, the halves are columns of a Hadamard matrix: then every two heads are missing together in a
    quarter, which gives the most precise shares for that number of subsets.

    Args:
        n: heads.
        at_most: the largest number of subsets, R.
        rng: draws columns, signs, or halves.
    """
    size = 1 << max(0, int(np.log2(max(1, at_most // 2))))
    if n + IDLE <= min(size, BALANCED):
        size = min(size, BALANCED)
        signs = hadamard(size)[:, rng.permutation(size)] * rng.choice([-1, 1], size)
        half = signs > 0
    else:
        half = rng.random((max(1, at_most // 2), n + 4 * IDLE)) < 0.5
    made = np.concatenate([half, ~half])
    return made[:, :n], made[:, n:]


def three_quarters_of(
    n: int, at_most: int, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "R n"], Bool[np.ndarray, "R m"]]:
    """As `halves_of`, but every head is missing in about three quarters of the subsets, so that more of a large group is gone."""
    (some, idle), (others, idle_too) = halves_of(n, at_most, rng), halves_of(n, at_most, rng)
    order = rng.permutation(
        len(others)
    )  # without it, a head whose two columns are opposites would be missing in every subset
    return some | others[order], idle | idle_too[order]


def subsets_for(n: int) -> int:
    """The number of subsets that makes balanced halves of n heads; at most `2 * BALANCED`."""
    return 2 * min(BALANCED, max(8, 1 << (n + IDLE - 1).bit_length()))


def weighted_ridge(
    x: Bool[np.ndarray, "R n"], y: Float[np.ndarray, "R m"], weights: Float[np.ndarray, "R m"], ridge: float
) -> Float[np.ndarray, "n m"]:
    """Coefficients of a ridge regression with a free constant for each column of y, with weights of its own; 0 where all weights
    are 0. Solved in the smaller of both dimensions."""
    x = x.astype(float)
    out = np.zeros((x.shape[1], y.shape[1]))
    for s in range(y.shape[1]):
        total = weights[:, s].sum()
        if total < 1e-6:
            continue
        root = np.sqrt(weights[:, s])[:, None]
        a = root * (x - (weights[:, s] @ x) / total)
        b = root[:, 0] * (y[:, s] - (weights[:, s] @ y[:, s]) / total)
        if x.shape[1] <= x.shape[0]:
            out[:, s] = np.linalg.solve(a.T @ a + ridge * np.eye(x.shape[1]), a.T @ b)
        else:
            out[:, s] = a.T @ np.linalg.solve(a @ a.T + ridge * np.eye(x.shape[0]), b)
    return out


def stand_ins(
    share: Float[np.ndarray, "N k"],
    alone: Float[np.ndarray, "N k"],
    scene: Int[np.ndarray, " N"],
    idle: Float[np.ndarray, "N m"],
    seed: int = 0,
    margin: float = MARGIN,
) -> Bool[np.ndarray, " k"]:
    """Which heads cost more while others are missing than alone.

    Args:
        share: what each head costs each step of a function while others are missing, nats.
        alone: what it costs with all others intact, nats.
        scene: number of each step's scene; the test flips the sign of a scene's differences.
        idle: the shares of columns that belong to no head; a head's difference must be beyond their spread (one-sided t, 97.5 %).
        seed: of the signs.
        margin: a difference that counts as none.
    """
    names, place = np.unique(scene, return_inverse=True)
    if len(names) < 2 or not share.shape[1]:
        return np.zeros(share.shape[1], bool)
    sums = np.zeros((len(names), 1, share.shape[1]))
    np.add.at(sums[:, 0], place, share - alone - margin)
    sizes = np.bincount(place).astype(np.int64)
    flips = sign_flips(sums, sizes, N_NULL, np.random.default_rng(seed))
    p = sign_flip_p(sums, sizes, flips, "heads")[0]
    error = np.sqrt((idle.mean(0) ** 2).mean()) * stats.t.ppf(0.975, idle.shape[1])
    return (benjamini_hochberg(p) <= Q) & ((share - alone).mean(0) > max(margin, error))


def groups_of(
    members: np.ndarray, profiles: Float[np.ndarray, "k N"], joint: Joint, rng: np.random.Generator
) -> list[tuple[np.ndarray, float]]:
    """The members as one group, or as several that do not stand in for each other, each with what it costs as a whole.

    Args:
        members: k heads, by number.
        profiles: their shares step by step, by which parts are proposed.
        joint: measures sets of heads.
        rng: draws the subsets of parts.
    """
    found: list[tuple[np.ndarray, float]] = []
    waiting = [np.arange(len(members))]
    while waiting:
        at = waiting.pop()
        cost = float(joint([members[at]])[0])
        if len(at) < 4:  # steps 1 to 3 have tested parts of a single head
            found += [(members[at], cost)] if len(at) > 1 else []
            continue
        first, second = (at[part] for part in _parts(profiles[at]))
        if _excess(members[first], members[second], joint, rng) > max(MARGIN, TOLERANCE * cost):
            found.append((members[at], cost))
        else:
            waiting += [first, second]
    return sorted(found, key=lambda pair: -pair[1])


def _excess(first: np.ndarray, second: np.ndarray, joint: Joint, rng: np.random.Generator) -> float:
    """How much more two parts cost together than apart, at the level of removal where that is most, nats."""
    sets = []
    for level in LEVELS:
        some = [rng.permutation(part)[: max(1, round(level * len(part)))] for part in (first, second)]
        sets += [np.concatenate(some), *some]
    both, one, other = joint(sets).reshape(-1, 3).T
    excess = both - one - other
    return max(float(excess[np.array(LEVELS) == level].mean()) for level in set(LEVELS))


def _parts(profiles: Float[np.ndarray, "k N"]) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of at least one head each, by average linkage of the correlations of profiles."""
    centred = profiles - profiles.mean(1, keepdims=True)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    labels = fcluster(linkage(squareform(distance, checks=False), "average"), 2, "maxclust")
    first = labels == labels[0]
    if first.all():  # all profiles are equal
        first[len(first) // 2 :] = False
    return np.flatnonzero(first), np.flatnonzero(~first)
