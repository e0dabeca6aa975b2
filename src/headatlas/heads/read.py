"""Read z, the heads' outputs before the output projection, while a model runs.

Knows sites and forward pre-hooks. Keeps nothing between uses, chooses no tokens and stores nothing on disk.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Tower
from headatlas.heads.grid import HeadGrid, Site


class ZReader:
    """Context manager that sees z at every layer of a tower on each forward of the model.

    ```python
    with ZReader(grid) as reader:
        model(**inputs)
    reader.z[3]  # [B, T, H, D], the model's dtype and device
    ```
    `reader.z[layer]` is a view of what went into the output projection in the last forward, gradients kept (run under
    `torch.no_grad()` where none are wanted). A vision tower without a batch axis gives `[1, T, H, D]`, and one that is
    called several times keeps its last call. With `on_z(layer, z)` every call is handed over and `z` stays empty, so
    that nothing big is kept. Hooks run in the order they were set: a reader opened inside `edit_heads` sees the
    edited z, one opened before it the original.
    """

    def __init__(self, grid: HeadGrid, tower: Tower = "L", on_z: Callable[[int, Tensor], object] | None = None) -> None:
        self.z: dict[int, Tensor] = {}
        self._sites = grid.tower(tower)
        self._on_z = on_z
        self._handles: list[RemovableHandle] = []
        if not self._sites:
            raise HeadAtlasError(f"this model has no addressable heads in tower {tower!r}, nothing to read")

    def __enter__(self) -> "ZReader":
        if self._handles:
            raise HeadAtlasError("this ZReader is already open; make a second one")
        self.z.clear()
        self._handles = [site.module.register_forward_pre_hook(self._hook(site)) for site in self._sites]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _hook(self, site: Site) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            z = site.split(args[0])
            if self._on_z is None:
                self.z[site.layer] = z
            else:
                self._on_z(site.layer, z)

        return hook
