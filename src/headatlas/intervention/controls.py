"""Control head sets: random sets matched to a set, least important heads, heads of other functions. Reproducible by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet

MATCHES = ("uniform", "layer", "layer_norm")
NEAREST_SHARE = 1 / 3
"""`layer_norm` draws from this share of the layer's free heads, those with norms nearest to the selected head's."""

TRIES = 30
"""Draws made for each set that is wanted."""


def random_sets(
    heads: HeadSet,
    grid_shape: tuple[int, int],
    n: int,
    match: str = "layer",
    norms: Float[np.ndarray, "L H"] | None = None,
    rng: np.random.Generator | int = 0,
) -> list[HeadSet]:
    """Draw up to `n` different random head sets of the size of `heads`.

    Sets are never repeated, because repeats would make p = (1 + #) / (R + 1) too small: one head in a layer of eight has only
    seven others to be compared with, however often they are drawn.

    Args:
        heads: the selected heads, language tower.
        grid_shape: (L, H) of the model.
        n: how many sets at most.
        match: `uniform` over all heads; `layer`: as many in each layer as `heads` has; `layer_norm`: in addition, each drawn
            head is among the third of its layer's free heads with norms nearest to that of the head it replaces.
        norms: mean norm of z of every head; needed by `layer_norm`.
        rng: generator, or a seed.

    Returns:
        `n` sets, or as many as exist, without any head of `heads` if there are enough others (in the model, or in the layer).
        Otherwise all free heads are taken and the rest is drawn from `heads` itself; `reason` says how many overlap.

    Raises:
        HeadAtlasError: unknown `match`, norms missing or of another shape, or a head outside the grid.
    """
    if match not in MATCHES:
        raise HeadAtlasError(f"match must be one of {', '.join(MATCHES)}; got {match!r}")
    if match == "layer_norm" and (norms is None or norms.shape != tuple(grid_shape)):
        got = "none" if norms is None else str(norms.shape)
        raise HeadAtlasError(f"match 'layer_norm' needs norms of shape {tuple(grid_shape)}, got {got}")
    layers, per_layer = grid_shape
    for head in heads:
        if head.tower != "L" or head.layer >= layers or head.head >= per_layer:
            raise HeadAtlasError(f"head {head} lies outside the language tower of {layers} layers x {per_layer} heads")
    rng = np.random.default_rng(rng)
    chosen = [(head.layer, head.head) for head in heads]
    draws: dict[frozenset[Pair], HeadSet] = {}
    # If exactly n sets exist, each is missed by this many draws with probability e^-TRIES.
    for _ in range(TRIES * n):
        if len(draws) == n:
            break
        if match == "uniform":
            every = [(layer, head) for layer in range(layers) for head in range(per_layer)]
            drawn = _draw(every, chosen, len(chosen), rng)
        else:
            drawn = []
            for layer in sorted(Counter(layer for layer, _ in chosen)):
                mine = [pair for pair in chosen if pair[0] == layer]
                row = [(layer, head) for head in range(per_layer)]
                if match == "layer":
                    drawn += _draw(row, mine, len(mine), rng)
                else:
                    assert norms is not None
                    drawn += _draw_near(row, mine, norms[layer], rng)
        shared = len(set(drawn) & set(chosen))
        reason = f"random, matched {match}" + (
            f"; {shared} of {len(chosen)} heads shared: too few free" if shared else ""
        )
        draws.setdefault(frozenset(drawn), HeadSet([Head(layer, head) for layer, head in sorted(drawn)], reason=reason))
    return list(draws.values())


def least_important(ranking: Sequence[Head], k: int) -> HeadSet:
    """The last `k` heads of a ranking (most important first).

    Raises:
        HeadAtlasError: fewer than `k` heads are ranked.
    """
    if k > len(ranking):
        raise HeadAtlasError(f"k must be at most the {len(ranking)} ranked heads, got {k}")
    return HeadSet(sorted(ranking[len(ranking) - k :]), reason=f"{k} least important")


def other_functions(sets: Mapping[str, HeadSet], function: str) -> HeadSet:
    """The heads of all functions but `function`, without those that it selected too.

    Raises:
        HeadAtlasError: `sets` has no entry for `function`.
    """
    if function not in sets:
        raise HeadAtlasError(f"function must be one of {', '.join(sets)}, which have head sets; got {function!r}")
    others = {head for name, heads in sets.items() if name != function for head in heads}
    return HeadSet(sorted(others - set(sets[function])), reason=f"heads of other functions than {function}")


Pair = tuple[int, int]


def _draw(pool: list[Pair], chosen: list[Pair], k: int, rng: np.random.Generator) -> list[Pair]:
    free = [pair for pair in pool if pair not in set(chosen)]
    if len(free) >= k:
        return [free[i] for i in rng.choice(len(free), size=k, replace=False)]
    rest = rng.choice(len(chosen), size=k - len(free), replace=False)
    return free + [chosen[i] for i in rest]


def _draw_near(
    pool: list[Pair], chosen: list[Pair], norms: Float[np.ndarray, " H"], rng: np.random.Generator
) -> list[Pair]:
    free = [pair for pair in pool if pair not in set(chosen)]
    if len(free) < len(chosen):
        return _draw(pool, chosen, len(chosen), rng)
    drawn = []
    for i in rng.permutation(len(chosen)):
        free.sort(key=lambda pair: abs(norms[pair[1]] - norms[chosen[i][1]]))
        near = max(2, int(np.ceil(len(free) * NEAREST_SHARE)))
        drawn.append(free.pop(int(rng.integers(min(near, len(free))))))
    return drawn
