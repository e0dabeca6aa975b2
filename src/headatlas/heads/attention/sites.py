"""Assign attention calls to sites, and place their query positions in the sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.attention.call import AttentionCall
from headatlas.heads.attention.interface import intercepted
from headatlas.heads.cache import cache_in
from headatlas.heads.grid import Site
from headatlas.heads.scope import Window

CallObserver = Callable[[Site, AttentionCall], AttentionCall | None]
"""Called with every attention call of a site; a call that it returns replaces the original, including its output."""


@contextmanager
def observed(model: nn.Module, sites: Iterable[Site], observer: CallObserver) -> Iterator[None]:
    """Within the block, `observer` is called with the attention calls of `sites`.

    Raises `HeadAtlasError`, in the forward, at a site whose output projection is reached without such a call: its module computes
    attention with code of its own.
    """
    seen: set[Site] = set()
    observers = {}
    for site in sites:
        for module in model.get_submodule(site.owner).modules():
            observers[module] = _observer(site, observer, seen)
    with ExitStack() as stack:
        stack.enter_context(intercepted(observers))
        for site in sites:
            stack.callback(site.module.register_forward_pre_hook(_arrived(site, seen)).remove)
        yield


def _observer(site: Site, observer: CallObserver, seen: set[Site]) -> Callable[[AttentionCall], AttentionCall | None]:
    def see(call: AttentionCall) -> AttentionCall | None:
        if call.n_heads != site.n_heads or call.query.dim() != 4:
            raise HeadAtlasError(
                f"the attention call of {site.owner} must have {site.n_heads} heads, got queries {tuple(call.query.shape)}"
            )
        seen.add(site)
        return observer(site, call)

    return see


def _arrived(site: Site, seen: set[Site]) -> Callable[[nn.Module, Any], None]:
    def hook(module: nn.Module, args: Any) -> None:
        if site not in seen:
            raise HeadAtlasError(
                f"attention of {site.tower}{site.layer} ({site.owner}) cannot be read or edited: its module does not call "
                "transformers' attention interface"
            )
        seen.discard(site)

    return hook


class WindowWatch:
    """Notes, at each forward of the language model, how many tokens are cached and how many are new."""

    def __init__(self) -> None:
        self.window: Window | None = None

    @contextmanager
    def on(self, language: nn.Module) -> Iterator[WindowWatch]:
        """Within the block the window is up to date."""
        handle = language.register_forward_pre_hook(self._hook, with_kwargs=True)
        try:
            yield self
        finally:
            handle.remove()

    def _hook(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.window = window_of(args, kwargs)


def window_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window | None:
    """The window of one call of a language model."""
    tokens = next((kwargs[k] for k in ("inputs_embeds", "input_ids") if kwargs.get(k) is not None), None)
    tokens = args[0] if tokens is None and args else tokens
    cache = cache_in(kwargs)
    past = int(cache.get_seq_length()) if cache is not None else 0
    return None if tokens is None else Window(past, tokens.shape[1])


def first_key(call: AttentionCall, window: Window | None) -> int:
    """The sequence position of a call's first key: above 0 where a sliding cache has dropped the oldest keys."""
    total = call.length if window is None else window.past + window.length
    return max(0, total - call.n_keys)


def places(where: Bool[Tensor, "B T"]) -> tuple[Int[Tensor, "B Q"], Bool[Tensor, "B Q"]]:
    """Positions where `where` is True, in order, as one rectangle, and which of its places are real: rows with fewer than the
    most are filled up with other positions."""
    counts = where.sum(1)
    width = int(counts.max())
    at = where.int().argsort(dim=1, descending=True, stable=True)[:, :width]
    return at, torch.arange(width, device=where.device) < counts[:, None]


def chunks(n_queries: int, cells: int, at_once: int = 1 << 24) -> list[slice]:
    """Slices of the query positions so that `cells` numbers a query stay below `at_once` numbers."""
    size = max(1, at_once // max(1, cells))
    return [slice(start, start + size) for start in range(0, n_queries, size)]
