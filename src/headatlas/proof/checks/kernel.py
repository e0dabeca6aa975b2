"""Watch and change the outputs of a running model's attention kernels, head by head.

Every attention of transformers ends in a call of torch: `scaled_dot_product_attention`, whose output `[B, H, T, D]` keeps the
heads apart, or, in eager code, a softmax whose weights `[B, H, T, S]` do. These calls show how many heads a layer
really has, independently of how HeadAtlas found them; silencing one head there shows which part of z belongs to it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from headatlas.heads import HeadGrid, Site

FUSED = {functional.scaled_dot_product_attention}
SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax}


class KernelCalls(TorchFunctionMode):
    """While entered, records the kernel calls inside every site's attention module and silences one head on request.

    `calls[site]` are `(kernel, heads)`, one for each call, `kernel` "sdpa" or "softmax". With `silence = (site, kernel, head)`
    that head's output (sdpa) or weights (softmax) are 0 in every such call of that layer.
    """

    def __init__(self, model: nn.Module, grid: HeadGrid, silence: tuple[Site, str, int] | None = None) -> None:
        super().__init__()
        self.calls: dict[Site, list[tuple[str, int]]] = {site: [] for site in grid.sites}
        self._model = model
        self._silence = silence
        self._inside: list[Site] = []
        self._hooks = ExitStack()

    def __enter__(self) -> "KernelCalls":
        for site in self.calls:
            owner = self._model.get_submodule(site.owner)
            self._hooks.callback(owner.register_forward_pre_hook(self._enter(site)).remove)
            self._hooks.callback(site.module.register_forward_pre_hook(self._leave(site)).remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.close()

    @property
    def current(self) -> Site | None:
        """The site whose attention is running."""
        return self._inside[-1] if self._inside else None

    def _enter(self, site: Site) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            self._inside.append(site)

        return hook

    def _leave(self, site: Site) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if site in self._inside:
                self._inside.remove(site)

        return hook

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`; note it and change its output if it is a kernel of a site."""
        out = func(*args, **(kwargs or {}))
        if not self._inside or not (func in FUSED or func in SOFTMAX):
            return out
        site = self._inside[-1]
        kernel = "sdpa" if func in FUSED else "softmax"
        heads = _heads(out, site.n_heads)
        if heads is None:
            return out
        self.calls[site].append((kernel, heads))
        if self._silence is not None and self._silence[:2] == (site, kernel):
            out = _silenced(out, self._silence[2], heads)
        return out

    def kernel_of(self, site: Site) -> tuple[str, set[int]]:
        """The kernel that makes z in `site`, and the head counts of its calls.

        Where both kinds are called, z comes from the fused kernel; the softmax belongs to an indexer or a router.
        """
        kernel = "sdpa" if any(name == "sdpa" for name, _ in self.calls[site]) else "softmax"
        return kernel, {heads for name, heads in self.calls[site] if name == kernel}


def _heads(out: Tensor, expected: int) -> int | None:
    """The number of heads of a kernel's output: its second axis of four, or folded into the rows of three."""
    if out.dim() == 4:
        return out.shape[1]
    if out.dim() == 3:
        return expected if out.shape[0] % expected == 0 else out.shape[0]
    return None


def _silenced(out: Tensor, head: int, heads: int) -> Tensor:
    keep = torch.ones(heads, dtype=out.dtype, device=out.device)
    keep[head] = 0
    if out.dim() == 4:
        return out * keep[:, None, None]
    return (out.unflatten(0, (-1, heads)) * keep[:, None, None]).flatten(0, 1)
