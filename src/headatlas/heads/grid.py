"""The attention layers found in a model: `Site` (where one layer's z is) and `HeadGrid` (all layers)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import TOWERS, Head, Heads, HeadSet, Tower, as_head, as_heads
from headatlas.printing import brief


@dataclass(frozen=True, eq=False)
class Site:
    """One attention layer. Its z is the *input* of `module`, the output projection W_O.

    Attributes:
        tower: one of `TOWERS`.
        layer: number within the tower, in forward order as far as `find_heads` can know it.
        name: path of the output projection in the model.
        projection: the output projection when the heads were found.
        n_heads, d_head: z has `n_heads * d_head` features, head by head; `n_heads` counts query heads. Where a family gates
            its heads before the projection, z is gated.
        owner: path of the attention module.
        attention: the attention module, if known; `module` is then looked up in it at every use.
    """

    tower: Tower
    layer: int
    name: str
    projection: nn.Module
    n_heads: int
    d_head: int
    owner: str = ""
    attention: nn.Module | None = None

    __repr__ = brief

    @property
    def module_if_there(self) -> nn.Module | None:
        """As `module`, but None where the attention module has no such part any more."""
        if self.attention is None:
            return self.projection
        module: nn.Module | None = self.attention
        for part in self.name.removeprefix(f"{self.owner}.").split("."):
            module = None if module is None else module._modules.get(part)
        return module

    @property
    def module(self) -> nn.Module:
        """The output projection as it is now: an adapter that replaced it is found here, and takes z as its input.

        Raises:
            HeadAtlasError: the attention module has no such part any more.
        """
        module = self.module_if_there
        if module is None:
            raise HeadAtlasError(
                f"{self.name} must be the output projection of {self.owner}, but was taken out of it after the heads were "
                "found; call find_heads(model) again"
            )
        return module

    def split(self, hidden: Tensor) -> Tensor:
        """View `[B, T, H*D]` as z `[B, T, H, D]`.

        A tower's flat `[T, H*D]` becomes one row `[1, T, H, D]`; in a plane of patches `[B, h, w, H*D]` the patches become
        tokens, `[B, h*w, H, D]`.

        Raises:
            HeadAtlasError: another shape.
        """
        if hidden.dim() == 2:
            hidden = hidden.unsqueeze(0)
        elif hidden.dim() > 3:
            hidden = hidden.flatten(1, -2)
        if hidden.dim() != 3 or hidden.shape[-1] != self.n_heads * self.d_head:
            raise HeadAtlasError(
                f"the input of {self.name} must be [B, T, {self.n_heads}*{self.d_head}], got {tuple(hidden.shape)}"
            )
        return hidden.unflatten(-1, (self.n_heads, self.d_head))


@dataclass(frozen=True, eq=False)
class HeadGrid:
    """Every addressable attention layer of a model.

    Attributes:
        sites: the layers of all towers.
        language: the module that contains the language model.
        skipped: attention-like modules that cannot be addressed, each with the reason.
        model: the model that the sites are in, if known.
    """

    sites: tuple[Site, ...]
    language: nn.Module | None = None
    skipped: tuple[str, ...] = ()
    model: nn.Module | None = None
    _towers: dict[Tower, tuple[Site, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_tower = {t: tuple(sorted((s for s in self.sites if s.tower == t), key=lambda s: s.layer)) for t in TOWERS}
        object.__setattr__(self, "_towers", by_tower)

    def __repr__(self) -> str:
        return f"HeadGrid({', '.join(self.describe())})"

    def __str__(self) -> str:
        lines = [f"Heads of {type(self.model).__name__}" if self.model is not None else "Heads", *self.describe()]
        if self.skipped:
            lines.append(f"not addressed (see .skipped): {len(self.skipped)} modules")
        return "\n  ".join(lines)

    def describe(self) -> list[str]:
        """One line for each tower, such as `L 28 layers x 28 heads x 128`."""
        return [f"{tower} {_sizes(sites)}" for tower, sites in self._towers.items() if sites]

    def tower(self, tower: Tower = "L") -> tuple[Site, ...]:
        """The sites of one tower in the order of layers; empty if the model has none."""
        return self._towers[tower]

    def towers_named(self, names: Iterable[str]) -> tuple[Tower, ...]:
        """The towers with these names, in the order L, V, X, C; `all` stands for those that the model has.

        Raises:
            HeadAtlasError: an unknown tower, or one without addressable heads.
        """
        every: tuple[Tower, ...] = ("L", "V", "X", "C")
        there: tuple[Tower, ...] = tuple(tower for tower in every if self.tower(tower))
        wanted = set(names)
        for name in wanted - {"all"}:
            if name not in every:
                raise HeadAtlasError(f"tower must be one of {', '.join(every)} or all, got {name!r}")
            if name not in there:
                raise HeadAtlasError(f"tower must be one that the model has ({', '.join(there)}), got {name!r}")
        return tuple(tower for tower in there if tower in wanted or "all" in wanted)

    def dims(self, tower: Tower = "L") -> tuple[int, int, int]:
        """`(L, H, D)` of a tower.

        Raises:
            HeadAtlasError: the tower is empty, or its layers differ in H or D, so that they form no `[L, H, D]` array.
        """
        sites = self.tower(tower)
        sizes = sorted({(site.n_heads, site.d_head) for site in sites})
        if len(sizes) != 1:
            what = f"layers of different (heads, d_head) {sizes}" if sizes else "no addressable attention layer"
            raise HeadAtlasError(f"tower {tower} of this model has {what}, so it has no [L, H, D] grid")
        return (len(sites), *sizes[0])

    def padded(self, tower: Tower = "L") -> tuple[int, int, int]:
        """`(L, H, D)` of an array that has room for every head of a tower: the largest H and D of its layers.

        The same as `dims` where that is defined. A layer with fewer heads or a smaller d_head uses the first ones.
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
        """Every head of a tower, in the order of layers and heads."""
        return HeadSet(Head(site.layer, head, tower) for site in self.tower(tower) for head in range(site.n_heads))

    def site(self, head: Heads) -> Site:
        """The site of one head.

        Raises:
            HeadAtlasError: the model has no such layer or head.
        """
        one = head if isinstance(head, Head) else as_head(head)
        sites = self.tower(one.tower)
        if one.layer >= len(sites):
            raise HeadAtlasError(f"head {one}: tower {one.tower} of this model has {len(sites)} layers, from 0")
        site = sites[one.layer]
        if one.head >= site.n_heads:
            raise HeadAtlasError(f"head {one}: layer {one.tower}{one.layer} has {site.n_heads} heads, from 0")
        return site

    def check(self, heads: Heads) -> None:
        """Raise `HeadAtlasError` at the first head that this model does not have."""
        for head in as_heads(heads):
            self.site(head)

    def is_current(self, model: nn.Module) -> bool:
        """Whether `model` still has the attention modules that were found; adapters inside of them do not matter."""
        return all(_at(model, site.owner) is site.attention for site in self.sites if site.attention is not None)


def _at(model: nn.Module, path: str) -> nn.Module | None:
    module: nn.Module | None = model
    for part in path.split("."):
        module = None if module is None else module._modules.get(part)
    return module


def _sizes(sites: tuple[Site, ...]) -> str:
    return f"{len(sites)} layers x " + " or ".join(_distinct(f"{s.n_heads} heads x {s.d_head}" for s in sites))


def _distinct(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:3]
