"""Forward pre-hooks on output projections that are checked to take place.

A hook can fail to run without an error: under `torch.compile`, where code uses the projection's weight without calling the
module, where a layer is skipped or replaced. `at_sites` counts the calls at every site, and a forward in which a site did not
run is a `HeadAtlasError` with the likely reason. Compiled code is run uncompiled while hooks are open.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headatlas.errors import HeadAtlasError
from headatlas.heads.cache import cache_in
from headatlas.heads.grid import HeadGrid, Site

Act = Callable[[Site, Tensor], Tensor | None]
"""Called with a site and the input of its output projection; returns what the projection gets instead, or None."""
Forward = Callable[[dict[str, Any]], None]
"""Called after each forward of the model or its language model with the keyword arguments of that forward."""


@contextmanager
def at_sites(
    grid: HeadGrid,
    sites: Sequence[Site],
    act: Act,
    doing: str = "edit",
    model: nn.Module | None = None,
    after: Forward | None = None,
) -> Iterator[None]:
    """Within the block, `act(site, hidden)` is called with the input of each site's output projection, and may replace it.

    Args:
        grid: the heads of the model.
        sites: some of its sites.
        act: what is done at a site.
        doing: what the hooks are for, for messages: `edit` or `read`.
        model: the module that users call; by default the one whose heads were found.
        after: called after each forward.

    Raises:
        HeadAtlasError: the heads belong to another model or were replaced since they were found; in or after a forward: a
            site did not run; on leaving: other code removed a hook.
    """
    root = model if model is not None else grid.model
    _check_grid(grid, sites, root)
    watch = _Watch(grid, sites, doing, root, after)
    with ExitStack() as stack:
        stack.enter_context(uncompiled(root if root is not None else grid.language))
        stack.callback(watch.close)
        for role, module in watch.roots.items():
            stack.callback(module.register_forward_pre_hook(watch.begin(role), with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(watch.end(role), with_kwargs=True).remove)
        for site in sites:
            module = site.module
            handle = module.register_forward_pre_hook(watch.hook(site, act))
            watch.placed[site] = module, handle
            stack.callback(handle.remove)
        yield
        watch.check_hooks()


class _Watch:
    """Counts how often each site ran, and compares at the end of every forward."""

    def __init__(
        self, grid: HeadGrid, sites: Sequence[Site], doing: str, root: nn.Module | None, after: Forward | None
    ) -> None:
        self.placed: dict[Site, tuple[nn.Module, RemovableHandle]] = {}
        self.open = True
        self.roots = _roots(grid, root)
        self._doing, self._after = doing, after
        self._counts = dict.fromkeys(sites, 0)
        self._began: dict[str, dict[Site, int]] = {}

    def close(self) -> None:
        """Make the hooks do nothing from now on, because compiled code may still call them."""
        self.open = False

    def hook(self, site: Site, act: Act) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]:
        """The hook of one site."""

        def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not self.open:
                return None
            if not args or not isinstance(args[0], Tensor):
                raise HeadAtlasError(f"{site.name} must be called with z as its first argument, got keywords alone")
            self._counts[site] += 1
            instead = act(site, args[0])
            return None if instead is None else (instead, *args[1:])

        return hook

    def begin(self, role: str) -> Callable[..., None]:
        """Hook before a forward of the module `role`."""

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if module.training and torch.is_grad_enabled() and any(map(_recomputes, module.modules())):
                raise HeadAtlasError(
                    f"gradient checkpointing must be off under an open {self._doing}, because the backward pass would run "
                    "layers again without it; call model.gradient_checkpointing_disable()"
                )
            self._began[role] = {site: n for site, n in self._counts.items() if _must_run(site, role, kwargs)}

        return hook

    def end(self, role: str) -> Callable[..., None]:
        """Hook after a forward of the module `role` that raised nothing."""

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            before = self._began.pop(role, {})
            if not self.open:
                return
            for site, count in before.items():
                if count == self._counts[site] or site.module is not self.placed[site][0]:
                    raise HeadAtlasError(self._why(site))
            if self._after is not None:
                self._after(kwargs)

        return hook

    def check_hooks(self) -> None:
        """Raise if a hook was removed."""
        for site, (module, handle) in self.placed.items():
            if handle.id not in module._forward_pre_hooks or site.module is not module:
                raise HeadAtlasError(self._why(site))

    def _why(self, site: Site) -> str:
        what = f"the {self._doing} at layer {site.tower}{site.layer} ({site.name}) did not take place: "
        module, handle = self.placed[site]
        if site.module is not module:
            return f"{what}its output projection was replaced while the {self._doing} was open; replace it before"
        if handle.id not in module._forward_pre_hooks:
            return f"{what}other code removed the hooks of its output projection while the {self._doing} was open"
        if torch.compiler.is_compiling():
            return f"{what}the model is compiled; use it uncompiled"
        return (
            f"{what}its output projection was not called in the forward; either the model uses its weights without calling "
            "it, or it skips this layer"
        )


def _roots(grid: HeadGrid, root: nn.Module | None) -> dict[str, nn.Module]:
    """The modules whose forwards are watched. A wrapper may call the `forward` of one of them without its hooks."""
    found: dict[str, nn.Module] = {}
    for role, module in (
        ("model", root),
        ("inner model", getattr(root, "base_model", None)),
        ("language model", grid.language),
    ):
        if isinstance(module, nn.Module) and all(module is not other for other in found.values()):
            found[role] = module
    return found


def _must_run(site: Site, role: str, kwargs: dict[str, Any]) -> bool:
    """Whether a site takes part in every forward with these arguments: the language model always does, the towers that see
    the picture (or the encoder) only when it is given, and not again while tokens are decoded."""
    if site.tower == "L":
        return True
    cache = cache_in(kwargs)
    decoding = cache is not None and int(cache.get_seq_length()) > 0
    if role == "language model" or kwargs.get("encoder_outputs") is not None or decoding:
        return False
    if site.tower == "E":
        return kwargs.get("input_ids") is not None
    return any(isinstance(value, Tensor) and "pixel" in name for name, value in kwargs.items())


def _check_grid(grid: HeadGrid, sites: Sequence[Site], root: nn.Module | None) -> None:
    if root is None:
        return
    modules = set(map(id, root.modules()))

    def inside(site: Site) -> bool:
        return id(site.projection if site.attention is None else site.attention) in modules

    for site in sites:
        if not inside(site):
            raise HeadAtlasError(
                f"{site.owner or site.name} was replaced after the heads were found; call find_heads(model) again"
                if any(map(inside, grid.sites))
                else "the grid belongs to another model; use find_heads(model) of this one"
            )
    asked = {id(site.module): site for site in sites}
    for other in grid.sites:
        site = asked.get(id(other.module_if_there))
        if site is not None and site != other:
            raise HeadAtlasError(
                f"{site.name} must be the output projection of one layer, but is that of {other.owner}, too: what is done at "
                "one would be done at both; give each layer a copy of its own"
            )


def uncompiled(model: nn.Module | None) -> AbstractContextManager[Any]:
    """Within the block, compiled code (`torch.compile`) runs uncompiled, so that hooks are called.

    Compiled code keeps the hooks that were there when it was compiled, and calls no others. Flex attention needs its compiled
    kernel, so there a compiled model is refused.

    Raises:
        HeadAtlasError: the model is compiled and has flex attention.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    config = getattr(model, "config", None)
    if "flex_attention" not in str(getattr(config, "_attn_implementation", "")):
        return torch.compiler.set_stance("force_eager")
    if model is not None and any(map(_is_compiled, model.modules())):
        raise HeadAtlasError(
            "a compiled model with flex attention cannot be read or edited; use it uncompiled, or load it with "
            "options={'attn_implementation': 'sdpa'}"
        )
    return nullcontext()


def _recomputes(module: nn.Module) -> bool:
    return bool(getattr(module, "gradient_checkpointing", False))


def _is_compiled(module: nn.Module) -> bool:
    return (
        getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(module, "_orig_mod")
        or hasattr(module.__dict__.get("forward"), "_torchdynamo_orig_callable")
    )
