"""Control head sets: random sets matched to a set, and the least important heads. Reproducible by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.heads.address import Heads, as_heads

MATCHES = ("uniform", "layer", "layer_norm")
NEAREST_SHARE = 1 / 3
"""`layer_norm` draws from this share of the free heads, those with norms nearest to the selected head's."""

LEAST = 39
"""Number of different control sets below which the matching is widened; with 39 the smallest p is 1 / 40."""

TRIES = 30
"""Number of draws for each set."""


def random_sets(
    heads: Heads,
    grid_shape: tuple[int, int],
    n: int,
    match: str = "layer",
    norms: Float[np.ndarray, "L H"] | None = None,
    rng: np.random.Generator | int = 0,
    exclude: Heads = (),
    least: int = LEAST,
) -> list[HeadSet]:
    """Draw up to `n` different random head sets of the size of `heads`, none of which shares a head with it.

    Sets are never repeated, because repeats would make p = (1 + #) / (R + 1) too small: one head in a layer of eight can be
    compared with only seven others. If the matching leaves fewer than `least` (or `n`) different sets, it is widened step by
    step: each drawn head may lie one layer away from the one that it replaces, then two, and so on to any layer; then the heads
    in `exclude` are drawn, too.

    Args:
        heads: the selected heads, all of one tower.
        grid_shape: (L, H) of that tower.
        n: largest number of sets.
        match: `uniform` over all heads; `layer`: each drawn head is in the layer of the head that it replaces; `layer_norm`:
            and among the third of those that are free with norms nearest to that head's.
        norms: mean norm of z of every head; needed by `layer_norm`.
        rng: generator, or a seed.
        exclude: further heads that controls should not have, such as those of all functions.
        least: number of different sets below which the matching is widened.

    Returns:
        `n` sets, or as many as exist; none if fewer heads are free than `heads` has. Each set's `reason` says how it was
        matched.

    Raises:
        HeadAtlasError: unknown `match`, norms missing or of another shape, heads of several towers, or a head outside the grid.
    """
    if match not in MATCHES:
        raise HeadAtlasError(f"match must be one of {', '.join(MATCHES)}; got {match!r}")
    if match == "layer_norm" and (norms is None or norms.shape != tuple(grid_shape)):
        got = "none" if norms is None else str(norms.shape)
        raise HeadAtlasError(f"match 'layer_norm' needs norms of shape {tuple(grid_shape)}, got {got}")
    heads = as_heads(heads)
    towers = heads.towers() or ("L",)
    layers, per_layer = grid_shape
    if len(towers) > 1:
        raise HeadAtlasError(f"heads must be of one tower, got heads of {', '.join(towers)}")
    for head in heads:
        if head.layer >= layers or head.head >= per_layer:
            raise HeadAtlasError(f"head {head} lies outside tower {towers[0]} of {layers} layers x {per_layer} heads")
    if not len(heads) or n < 1:
        return []
    rng = np.random.default_rng(rng)
    every = [Head(layer, head, towers[0]) for layer in range(layers) for head in range(per_layer)]
    own, others = set(heads), set(as_heads(exclude)) - set(heads)
    widths = [layers] if match == "uniform" else [*range(layers)]
    best: list[HeadSet] = []
    for banned, width in [(others, w) for w in widths] + ([(set(), w) for w in widths] if others else []):
        free = [head for head in every if head not in own and head not in banned]
        sets = _draws(list(heads), free, n, width, norms if match == "layer_norm" else None, rng)
        reason = _reason(match, width, layers, bool(others and not banned))
        if len(sets) > len(best):
            best = [HeadSet(sorted(one), reason=reason) for one in sets]
        if len(best) >= min(n, least):
            break
    return best


def _draws(
    chosen: Sequence[Head],
    free: Sequence[Head],
    n: int,
    width: int,
    norms: Float[np.ndarray, "L H"] | None,
    rng: np.random.Generator,
) -> list[frozenset[Head]]:
    """Up to `n` different sets; each head of `chosen` is replaced by a free one at most `width` layers away."""
    pools = [[head for head in free if abs(head.layer - one.layer) <= width] for one in chosen]
    drawn: dict[frozenset[Head], None] = {}
    # If exactly n sets exist, each is missed by this many draws with probability e^-TRIES.
    for _ in range(TRIES * n):
        if len(drawn) == n:
            break
        taken: set[Head] = set()
        # Heads with the fewest candidates come first, the others in random order, so that draws seldom run out of candidates.
        for i in sorted(rng.permutation(len(chosen)), key=lambda i: len(pools[i])):
            left = [head for head in pools[i] if head not in taken]
            if not left:
                break
            if norms is not None:
                wanted = norms[chosen[i].layer, chosen[i].head]
                left.sort(key=lambda head: abs(norms[head.layer, head.head] - wanted))
                left = left[: max(2, int(np.ceil(len(left) * NEAREST_SHARE)))]
            taken.add(left[int(rng.integers(len(left)))])
        if len(taken) == len(chosen):
            drawn.setdefault(frozenset(taken))
    return list(drawn)


def _reason(match: str, width: int, layers: int, functional: bool) -> str:
    if match == "uniform" or width >= layers - 1 > 0:
        where = "from any layer"
    elif width:
        where = f"at most {width} layer{'s' if width > 1 else ''} away"
    else:
        where = "in the same layers"
    norm = ", of similar norm" if match == "layer_norm" else ""
    return f"random, {where}{norm}" + ("; heads of other functions included" if functional else "")


def least_important(ranking: Heads, k: int) -> HeadSet:
    """The last `k` heads of a ranking (most important first).

    Raises:
        HeadAtlasError: fewer than `k` heads are ranked.
    """
    ranking = as_heads(ranking)
    if k > len(ranking):
        raise HeadAtlasError(f"k must be at most the {len(ranking)} ranked heads, got {k}")
    return HeadSet(sorted(ranking[len(ranking) - k :]), reason=f"{k} least important")
