"""What was found in a model: `Site` (one attention layer's z) and `HeadGrid` (all of them).

Knows where z is and how it is laid out. Does not know how the sites were found (find.py) or what is done at them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import TOWERS, Head, HeadSet, Tower


@dataclass(frozen=True, eq=False)
class Site:
    """One attention layer: its z is the *input* of `module`, the output projection W_O.

    `name` is the projection's path in the model; `layer` counts within the `tower`, in forward order as far as `find_heads` can
    know it; z's last axis is `n_heads * d_head`, head-major. Where a family gates its heads before the projection, z is gated.
    `n_heads` counts query heads. `owner` is the path of the attention module that the projection belongs to.
    """

    tower: Tower
    layer: int
    name: str
    module: nn.Module
    n_heads: int
    d_head: int
    owner: str = ""

    def split(self, hidden: Tensor) -> Tensor:
        """`[B, T, H*D]` as z `[B, T, H, D]`. A view, no copy.

        A tower's flat `[T, H*D]` is one row, `[1, T, H, D]`; of a plane of patches `[B, h, w, H*D]` the patches are the
        tokens, `[B, h*w, H, D]`.
        """
        if hidden.dim() == 2:
            hidden = hidden.unsqueeze(0)
        elif hidden.dim() > 3:
            hidden = hidden.flatten(1, -2)
        if hidden.dim() != 3 or hidden.shape[-1] != self.n_heads * self.d_head:
            raise HeadAtlasError(
                f"expected [B, T, {self.n_heads}*{self.d_head}] at the input of {self.name}, got {tuple(hidden.shape)}"
            )
        return hidden.unflatten(-1, (self.n_heads, self.d_head))


@dataclass(frozen=True, eq=False)
class HeadGrid:
    """Every addressable attention layer of a model.

    `language` is the module that holds the language model (its calls tell where in the sequence a forward is);
    `skipped` are the attention-like modules that cannot be addressed, each with its reason.
    """

    sites: tuple[Site, ...]
    language: nn.Module | None = None
    skipped: tuple[str, ...] = ()
    _towers: dict[Tower, tuple[Site, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_tower = {t: tuple(sorted((s for s in self.sites if s.tower == t), key=lambda s: s.layer)) for t in TOWERS}
        object.__setattr__(self, "_towers", by_tower)

    def tower(self, tower: Tower = "L") -> tuple[Site, ...]:
        """The sites of one tower by layer number; empty if the model has none."""
        return self._towers[tower]

    def dims(self, tower: Tower = "L") -> tuple[int, int, int]:
        """`(L, H, D)` of a tower. Raises if it is empty or if its layers differ in H or D (no dense grid then)."""
        sites = self.tower(tower)
        sizes = sorted({(site.n_heads, site.d_head) for site in sites})
        if len(sizes) != 1:
            what = f"layers of different (heads, d_head) {sizes}" if sizes else "no addressable attention layer"
            raise HeadAtlasError(f"tower {tower} of this model has {what}, so it has no [L, H, D] grid")
        return (len(sites), *sizes[0])

    def padded(self, tower: Tower = "L") -> tuple[int, int, int]:
        """`(L, H, D)` of an array that holds every head of a tower: the largest H and D of its layers.

        The same as `dims` where that is defined. Of a layer with fewer heads or a smaller d_head the first ones are used.
        """
        sites = self.tower(tower)
        if not sites:
            return self.dims(tower)
        return len(sites), max(site.n_heads for site in sites), max(site.d_head for site in sites)

    @property
    def shape(self) -> tuple[int, int]:
        """`(L, H)` of the language tower."""
        return self.dims("L")[:2]

    @property
    def d_head(self) -> int:
        """D of the language tower."""
        return self.dims("L")[2]

    def heads(self, tower: Tower = "L") -> HeadSet:
        """Every head of a tower, by layer and head."""
        return HeadSet(Head(site.layer, head, tower) for site in self.tower(tower) for head in range(site.n_heads))

    def site(self, head: Head) -> Site:
        """The site of `head`. Raises `HeadAtlasError` if the model has no such layer or head."""
        sites = self.tower(head.tower)
        if head.layer >= len(sites):
            raise HeadAtlasError(f"head {head}: tower {head.tower} of this model has {len(sites)} layers, from 0")
        site = sites[head.layer]
        if head.head >= site.n_heads:
            raise HeadAtlasError(f"head {head}: layer {head.tower}{head.layer} has {site.n_heads} heads, from 0")
        return site

    def check(self, heads: Iterable[Head]) -> None:
        """Raise `HeadAtlasError` at the first head that this model does not have."""
        for head in heads:
            self.site(head)
