"""The blocks of a language model, and how to run a part of one.

Knows a stack of decoder blocks (one `ModuleList`, one attention in each) and that a block, whatever its norms, gates and
residuals, does this: something before the heads, z, the output projection, something after. Two halves are cut out of the
model's own code without copying any of it: `up_to_z` calls the block and stops it where its output projection is called;
`from_z` calls it with an attention that answers at once with the output projection of the z given. Knows no edits, no
positions, no questions. What does not have this form is told (`Unfit`), never guessed: a caller then runs the whole model.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from headatlas.heads import HeadGrid, Site

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

_STACKS: WeakKeyDictionary[Any, Stack | str] = WeakKeyDictionary()


class Unfit(Exception):
    """This model (or call) does not have the form that the engine needs; the text says why. Never reaches a user."""


@dataclass(frozen=True, eq=False)
class Block:
    """One decoder block: its module, its attention (whose output is that of the output projection), its heads."""

    module: nn.Module
    attention: nn.Module
    site: Site

    def told(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Call]:
        """The hidden states that the block is called with, and how else it is called."""
        names = [name for name in inspect.signature(self.module.forward).parameters if name != "self"]
        told = dict(kwargs)
        told.update(zip(names, args, strict=False))
        hidden = told.pop(names[0])
        # By position or by keyword is the same to the block; keywords can be looked at by name.
        return hidden, Call((), told) if len(args) <= len(names) else Call(tuple(args[1:]), dict(kwargs))

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Within, what goes into and comes out of the block is kept."""
        seen = Seen()
        said: list[Tensor] = []

        def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.times += 1
            seen.hidden, seen.call = self.told(args, kwargs)

        def speak(module: nn.Module, args: tuple[Any, ...]) -> None:
            seen.z = args[0]

        def say(module: nn.Module, args: Any, output: Tensor) -> None:
            said.append(output)

        def answer(module: nn.Module, args: Any, output: Any) -> None:
            seen.ends = bool(said) and (first(output) is said[-1] or torch.equal(first(output), said[-1]))
            seen.n_outputs = len(output) if isinstance(output, tuple) else 0
            said.clear()

        def end(module: nn.Module, args: Any, output: Any) -> None:
            seen.out = first(output)

        with ExitStack() as hooks:
            hooks.callback(self.module.register_forward_pre_hook(begin, with_kwargs=True).remove)
            hooks.callback(self.site.module.register_forward_pre_hook(speak).remove)
            hooks.callback(self.site.module.register_forward_hook(say).remove)
            hooks.callback(self.attention.register_forward_hook(answer).remove)
            hooks.callback(self.module.register_forward_hook(end).remove)
            yield seen


@dataclass(eq=False)
class Seen:
    """One run of a block: `hidden [B, T, d]` went into it, `z [B, T, H*D]` into its output projection, `out [B, T, d]` came out
    of it; `call` is what else it was told; its attention returned `n_outputs` things (0: a bare tensor), the first of them what
    its output projection gave, if `ends`. `times`: how often the block has run."""

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
    """How a block was called: positional arguments behind the hidden states, and keywords."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Stack:
    """The blocks of a language model in order, and what stands beside them.

    Attributes:
        blocks: in forward order.
        index: block number of each site.
        siblings: modules beside the blocks, one of which is the final norm.
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
        """Run block `i` until its heads have spoken: z `[B, T, H*D]`, the input of its output projection."""
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
        """Run block `i` from its output projection on: `hidden` `[B, T, d]` went into the block, `z` `[B, T, H*D]` into
        its output projection, past whatever hooks are on it; gives what comes out of the block. `n_outputs`: see `Seen`."""
        block = self.blocks[i]
        said = block.site.module.forward(z)
        answer = said if n_outputs == 0 else (said, *([None] * (n_outputs - 1)))
        with replaced_forward(block.attention, lambda *args, **kwargs: answer):
            return first(block.module(hidden, *call.args, **call.kwargs))

    def run(self, i: int, hidden: Tensor, call: Call) -> Tensor:
        """Run block `i` whole."""
        return first(self.blocks[i].module(hidden, *call.args, **call.kwargs))


class _AtZ(Exception):
    def __init__(self, z: Tensor) -> None:
        self.z = z


@contextmanager
def replaced_forward(module: nn.Module, forward: Any) -> Iterator[None]:
    """`module.forward` replaced; one that a library has set on the instance (accelerate's) is put back."""
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
    """The blocks of a model's language model, found once. Raises `Unfit`."""
    if vlm not in _STACKS:
        try:
            _STACKS[vlm] = find_stack(vlm.model, vlm.heads)
        except Unfit as why:
            _STACKS[vlm] = str(why)
    found = _STACKS[vlm]
    if isinstance(found, str):
        raise Unfit(found)
    return found


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
