"""Read z, the outputs of the heads before the output projection, while a model runs."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Tower
from headatlas.heads.grid import HeadGrid, Site
from headatlas.heads.hooks import at_sites


class ZReader:
    """Context manager that sees z at every layer of a tower in each forward of the model.

    ```python
    with ZReader(grid) as reader:
        model(**inputs)
    reader.z[3]  # [B, T, H, D], the model's dtype and device
    ```
    `reader.z[layer]` is a view of the input of the output projection in the last forward; gradients are kept (run under
    `torch.no_grad()` where none are wanted). A vision tower without a batch axis gives `[1, T, H, D]`; of one that is called
    several times in a forward, the last call is kept. Hooks run in the order in which they were set: a reader opened inside
    `edit_heads` sees the edited z, one opened before it the original.

    Args:
        grid: the heads of the model.
        tower: which tower is read.
        on_z: called as `on_z(layer, z)` at every layer; `z` then stays empty, so that nothing large is kept.

    Raises:
        HeadAtlasError: the tower has no heads; in a forward: a layer did not run, or z holds NaN or infinite numbers at a
            position that is not padding.
    """

    def __init__(self, grid: HeadGrid, tower: Tower = "L", on_z: Callable[[int, Tensor], object] | None = None) -> None:
        self.z: dict[int, Tensor] = _Layers()
        self._grid, self._sites = grid, grid.tower(tower)
        self._on_z = on_z
        self._sums: list[tuple[Site, Tensor]] = []
        """For each layer of the current forward, the sum over the features at every position; not finite if z is not."""
        self._stack: ExitStack | None = None
        if not self._sites:
            raise HeadAtlasError(f"this model has no addressable heads in tower {tower!r}, nothing to read")

    def __enter__(self) -> "ZReader":
        if self._stack is not None:
            raise HeadAtlasError("this ZReader is already open; make a second one")
        self.z.clear()
        self._sums = []
        with ExitStack() as stack:
            stack.enter_context(at_sites(self._grid, self._sites, self._see, "read", after=self._check))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def _see(self, site: Site, hidden: Tensor) -> None:
        z = site.split(hidden)
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        with torch.no_grad():
            self._sums.append((site, hidden.sum(-1, dtype=wide)))
        if self._on_z is None:
            self.z[site.layer] = z
        else:
            self._on_z(site.layer, z)

    def _check(self, kwargs: dict[str, Any]) -> None:
        """Raise after a forward if z is not finite; all layers of a shape are checked together, so that the host waits for the
        GPU only once."""
        sums, self._sums = self._sums, []
        mask = kwargs.get("attention_mask")
        alike: dict[tuple[Any, ...], list[tuple[Site, Tensor]]] = {}
        for site, values in sums:
            alike.setdefault((values.shape, values.dtype, values.device), []).append((site, values))
        wrong = [
            (site, found)
            for some in alike.values()
            for (site, _), found in zip(some, _not_finite(torch.stack([v for _, v in some]), mask), strict=True)
        ]
        bad = {site for site, found in wrong if found}
        for site, _ in sums:
            if site in bad:
                raise not_finite(self._grid.model, f"z of layer {site.tower}{site.layer}")


def not_finite(model: Any, what: str) -> HeadAtlasError:
    """The error for NaN or infinite numbers: names the model, its dtype, what is wrong, and what to try."""
    parameter = next(iter(model.parameters()), None) if model is not None else None
    dtype = "" if parameter is None else str(parameter.dtype).removeprefix("torch.")
    advice = "its weights may be damaged" if dtype in ("float32", "float64") else "load it in bfloat16 or float32"
    return HeadAtlasError(
        f"{type(model).__name__ if model is not None else 'the model'} in {dtype or 'its dtype'}: {what} must be finite, "
        f"got NaN or infinite numbers; {advice}"
    )


def _not_finite(sums: Float[Tensor, "L ..."], mask: Any) -> list[bool]:
    """For each layer whether a sum `[B, T]` is not finite at a position that the attention mask `[B, past + T]` does not leave
    out; the host waits for the device once."""
    bad = ~torch.isfinite(sums)
    fits = isinstance(mask, Tensor) and mask.dim() == bad.dim() - 1 == 2 and mask.shape[0] == bad.shape[1]
    if fits and mask.shape[1] >= bad.shape[2]:
        bad = bad & mask[:, -bad.shape[2] :].to(bad.device).bool()
    return bad.flatten(1).any(1).tolist()


class _Layers(dict[int, Tensor]):
    """z by layer; an error names the layers that were read."""

    def __missing__(self, layer: int) -> Tensor:
        have = f"layers {min(self)} to {max(self)}" if self else "nothing; run the model while the reader is open"
        raise HeadAtlasError(f"z of layer {layer} was not read: this reader has {have}")
