"""The decoder blocks of a language model, and how to run a part of one.

Whatever its norms, gates and residuals, every block consists of a part before the heads, z, the output projection, and a part
after it. Both parts run the model's own code: `up_to_z` calls the block and stops where its output projection is called;
`from_z` calls it with an attention that returns the output projection of a given z. A model without this form raises `Unfit`
with the reason, and the caller runs it in full.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headatlas.heads import HeadGrid, Site

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM


class Unfit(Exception):
    """The model, or a call of it, does not have the required form; the text says why. Users never see it."""


def why_unfit(error: Unfit | RuntimeError) -> str:
    """Why a model's blocks cannot be run alone; empty if the error has another cause."""
    if isinstance(error, Unfit):
        return str(error)
    return "its blocks, on several devices, cannot be called alone" if "on the same device" in str(error) else ""


@dataclass(frozen=True, eq=False)
class Block:
    """One decoder block: its module, its attention (whose output is that of the output projection), and its heads."""

    module: nn.Module
    attention: nn.Module
    site: Site

    def call_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Call]:
        """The hidden states `[B, T, d]` that the block is called with, and its other arguments."""
        names = _names(getattr(self.module.forward, "__func__", self.module.forward))
        arguments = dict(kwargs)
        arguments.update(zip(names, args, strict=False))
        hidden = arguments.pop(names[0])
        # The block accepts arguments by position or by keyword; keywords can be found by name.
        return hidden, Call((), arguments) if len(args) <= len(names) else Call(tuple(args[1:]), dict(kwargs))

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Within the block, the input and output of this decoder block are recorded."""
        seen = Seen()
        projected: list[Tensor] = []

        def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.times += 1
            seen.hidden, seen.call = self.call_of(args, kwargs)

        def at_projection(module: nn.Module, args: tuple[Any, ...]) -> None:
            seen.z = args[0]

        def after_projection(module: nn.Module, args: Any, output: Tensor) -> None:
            projected.append(output)

        def after_attention(module: nn.Module, args: Any, output: Any) -> None:
            seen.ends = bool(projected) and (
                first(output) is projected[-1] or torch.equal(first(output), projected[-1])
            )
            seen.n_outputs = len(output) if isinstance(output, tuple) else 0
            projected.clear()

        def end(module: nn.Module, args: Any, output: Any) -> None:
            seen.out = first(output)

        with ExitStack() as hooks:
            hooks.callback(self.module.register_forward_pre_hook(begin, with_kwargs=True).remove)
            hooks.callback(self.site.module.register_forward_pre_hook(at_projection).remove)
            hooks.callback(self.site.module.register_forward_hook(after_projection).remove)
            hooks.callback(self.attention.register_forward_hook(after_attention).remove)
            hooks.callback(self.module.register_forward_hook(end).remove)
            yield seen


@dataclass(eq=False)
class Seen:
    """One run of a block.

    Attributes:
        times: how often the block has run.
        hidden: what went into it, `[B, T, d]`.
        call: its other arguments.
        z: the input of its output projection, `[B, T, H*D]`.
        out: what came out of it, `[B, T, d]`.
        n_outputs: how many values its attention returned; 0: a bare tensor.
        ends: whether the first of them is the output of the output projection.
    """

    times: int = 0
    hidden: Any = None
    call: Any = None
    z: Any = None
    out: Any = None
    n_outputs: int | None = None
    ends: bool = False

    def check(self) -> None:
        """Raise `Unfit` unless the block ran once and can be cut at its output projection."""
        if self.times != 1:
            raise Unfit(f"one of its blocks runs {self.times} times in a forward")
        if self.z is None or self.n_outputs is None:
            raise Unfit("one of its blocks runs without its attention")
        if self.z.dim() != 3:
            raise Unfit("its output projections see tokens without a batch axis")
        if not self.ends:
            raise Unfit("its attention does more after its output projection")
        if not isinstance(self.out, Tensor):
            raise Unfit("one of its blocks gives no hidden states")


@dataclass(frozen=True, eq=False)
class Call:
    """Arguments of a block after its hidden states: positional ones and keywords."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Stack:
    """The blocks of a language model in order, and what surrounds them.

    Attributes:
        blocks: in forward order.
        index: block number of each site.
        siblings: modules next to the list of blocks, one of which is the final norm.
        head: the output embedding.
    """

    blocks: tuple[Block, ...]
    index: dict[Site, int]
    siblings: tuple[nn.Module, ...]
    head: nn.Module

    @property
    def last(self) -> int:
        """Number of the last block."""
        return len(self.blocks) - 1

    def up_to_z(self, i: int, hidden: Tensor, call: Call) -> Tensor:
        """Run block `i` up to z `[B, T, H*D]`, the input of its output projection."""
        block = self.blocks[i]

        def stop(module: nn.Module, args: tuple[Any, ...]) -> None:
            raise _AtZ(args[0])

        handle = block.site.module.register_forward_pre_hook(stop)
        try:
            block.module(hidden, *call.args, **call.kwargs)
        except _AtZ as reached:
            return reached.z
        finally:
            handle.remove()
        raise Unfit(f"{block.site.name} is not called in its block's forward")

    def from_z(self, i: int, hidden: Tensor, z: Tensor, call: Call, n_outputs: int) -> Tensor:
        """Run block `i` from its output projection on; hooks on the projection are not called.

        Args:
            i: number of the block.
            hidden: what went into the block, `[B, T, d]`.
            z: what goes into its output projection, `[B, T, H*D]`.
            call: the block's other arguments.
            n_outputs: see `Seen`.

        Returns:
            What comes out of the block, `[B, T, d]`.
        """
        block = self.blocks[i]
        projected = block.site.module.forward(z)
        output = projected if n_outputs == 0 else (projected, *([None] * (n_outputs - 1)))
        with replaced_forward(block.attention, lambda *args, **kwargs: output):
            return first(block.module(hidden, *call.args, **call.kwargs))

    def run(self, i: int, hidden: Tensor, call: Call) -> Tensor:
        """Run all of block `i`."""
        return first(self.blocks[i].module(hidden, *call.args, **call.kwargs))


@lru_cache(maxsize=256)
def _names(forward: Callable[..., Any]) -> list[str]:
    """The names of the arguments of a block's forward."""
    return [name for name in inspect.signature(forward).parameters if name != "self"]


class _AtZ(Exception):
    def __init__(self, z: Tensor) -> None:
        self.z = z


@contextmanager
def replaced_forward(module: nn.Module, forward: Any) -> Iterator[None]:
    """Within the context, `module.forward` is `forward`; one that a library (accelerate) has set on the instance is put back."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.forward = before


def first(output: Any) -> Tensor:
    """The hidden states among what a block returns."""
    return output[0] if isinstance(output, tuple) else output


def stack_of(vlm: VLM) -> Stack:
    """The blocks of a model's language model as they are now. Raises `Unfit`."""
    return find_stack(vlm.model, vlm.heads)


def find_stack(model: nn.Module, grid: HeadGrid) -> Stack:
    """The blocks of the language model of `model`, whose heads `grid` addresses.

    Raises:
        Unfit: the heads do not sit one attention to a block of one list, or there is no output embedding.
    """
    sites = [*grid.tower("L"), *grid.tower("X")]
    modules = dict(model.named_modules())
    lists = {_list_of(site.name, modules) for site in sites}
    if len(lists) != 1 or None in lists:
        raise Unfit(f"its blocks are not one list of modules but {sorted(map(str, lists))}")
    path = lists.pop()
    assert path is not None
    by_block: dict[str, Site] = {}
    for site in sites:
        number = site.name[len(path) + 1 :].partition(".")[0]
        if number in by_block:
            raise Unfit(f"block {number} of {path} has two attentions")
        by_block[number] = site
    found = modules[path]
    assert isinstance(found, nn.ModuleList)
    missing = [str(i) for i in range(len(found)) if str(i) not in by_block]
    if missing:
        raise Unfit(f"blocks {', '.join(missing)} of {path} have no addressable heads")
    blocks = []
    for i, module in enumerate(found):
        site = by_block[str(i)]
        blocks.append(Block(module, modules[site.name.rpartition(".")[0]], site))
    head = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    if not isinstance(head, nn.Module):
        raise Unfit("it has no output embedding")
    owner = modules[path.rpartition(".")[0]]
    siblings = tuple(child for child in owner.children() if child is not found)
    return Stack(tuple(blocks), {block.site: i for i, block in enumerate(blocks)}, siblings, head)


def _list_of(name: str, modules: dict[str, nn.Module]) -> str | None:
    """Path of the innermost list of modules around the module called `name`."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        if isinstance(modules.get(path), nn.ModuleList):
            return path
    return None
