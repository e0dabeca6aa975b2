"""The last block, only where somebody looks.

Behind the heads of the last block nothing mixes positions any more. A pass whose logits are wanted at a dozen positions of two
hundred so needs that block's output projection and MLP at these alone: 7 % less work in a model of six blocks, some 3 % in one
of 28. Its heads speak at all positions as ever, and whatever reads or edits them sees all of z.

Whether a model's last block can be called so is tried out once, on a few words and without anybody's hooks: whatever data and
edits come later, and in whichever process, the answer is the same. Knows blocks and positions; knows no answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from headatlas.heads.cache import CACHE_NAMES
from headatlas.vlm.along import call_at, places, take
from headatlas.vlm.stack import Call, Stack, Unfit, replaced_forward, stack_of

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

log = logging.getLogger("headatlas")

SLACK = {torch.float32: 1e-4, torch.float64: 1e-9}
"""How far hidden states behind the block may be from those of the whole block, as a share of the largest; else 0.02."""

WORDS = "one two three four five six seven eight nine ten"
"""What it is tried on."""

Fit = tuple[Stack, int]
"""A model's blocks, and how many things the attention of the last one returns."""

_FIT: WeakKeyDictionary[Any, Fit | str] = WeakKeyDictionary()
"""What was found out of each model; in words, why its last block is always run whole."""


@contextmanager
def last_block_at(vlm: VLM, where: Bool[Tensor, "B T"]) -> Iterator[None]:
    """Within one forward, the last block gives hidden states at the positions `where` and zeros elsewhere.

    It is run whole if it cannot do that, if nothing would be saved (no position wanted, or more than half of a row), or if
    somebody else has hooks in the model, who would see the zeros. Not for passes with gradients.
    """
    most = int(where.sum(1).max())
    fit = last_block_fits(vlm) if 0 < 2 * most <= where.shape[1] else ""
    if isinstance(fit, str) or _watched_by_others(vlm.model) or _tells_more(vlm.model):
        yield
        return
    stack, n_outputs = fit
    module = stack.blocks[-1].module
    with replaced_forward(module, _Forward(stack, module.forward, *places(where), n_outputs)):
        yield


def last_block_fits(vlm: VLM) -> Fit | str:
    """Whether a model's last block can be run in part, or why not; found out at the first call by one small forward."""
    if vlm not in _FIT:
        try:
            _FIT[vlm] = _try(vlm)
        except Unfit as why:
            _FIT[vlm] = str(why)
            log.info("%s: the last block is run at all positions: %s", vlm.name, why)
    return _FIT[vlm]


@dataclass(frozen=True, eq=False)
class _Forward:
    """Stands for the last block's forward, `real`."""

    stack: Stack
    real: Any
    at: Int[Tensor, "B M"]
    kept: Bool[Tensor, "B M"]
    """Which of `at` are wanted."""
    n_outputs: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        block, last = self.stack.blocks[-1], self.stack.last
        with replaced_forward(block.module, self.real):
            hidden, call = block.told(args, kwargs)
            try:
                told = part_of(call, self.at, hidden)
            except Unfit as why:  # something that came with this batch only; nothing has been run yet
                log.info("the last block is run at all positions: %s", why)
                return block.module(*args, **kwargs)
            z = self.stack.up_to_z(last, hidden, call)
            picked = self.stack.from_z(last, take(hidden, self.at), take(z, self.at), told, self.n_outputs)
        at, kept = self.at.to(picked.device), self.kept.to(picked.device)
        out = picked.new_zeros(hidden.shape)
        return out.scatter_(1, at[..., None].expand_as(picked), picked * kept[..., None])


def part_of(call: Call, at: Int[Tensor, "B M"], hidden: Float[Tensor, "B T d"]) -> Call:
    """The block's call behind its heads, for the positions `at` alone. Raises `Unfit`."""
    if hidden.dim() != 3 or hidden.shape[0] != at.shape[0]:
        raise Unfit(f"its last block sees tokens as {tuple(hidden.shape)}")
    return call_at(call, at, hidden.shape[1], attention_mask=None, **dict.fromkeys(CACHE_NAMES))


@dataclass(eq=False)
class _Trial:
    """Stands for the last block's forward while it is tried: runs it whole, and then in part."""

    stack: Stack
    real: Any
    at: Int[Tensor, "B M"]
    runs: int = 0
    off: float = field(default=float("nan"))
    n_outputs: int = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        block = self.stack.blocks[-1]
        with replaced_forward(block.module, self.real):
            with block.watched() as seen:
                whole = block.module(*args, **kwargs)
            if not isinstance(whole, Tensor):
                raise Unfit(f"its last block returns a {type(whole).__name__}")
            seen.check()
            self.n_outputs = seen.n_outputs or 0
            told = part_of(seen.call, self.at, seen.hidden)
            at = self.at
            part = self.stack.from_z(self.stack.last, take(seen.hidden, at), take(seen.z, at), told, self.n_outputs)
        wanted = take(whole, at)
        self.off = float((part - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-30)
        return whole


@torch.no_grad()
def _try(vlm: VLM) -> Fit:
    """Raises `Unfit` if the last block cannot be run in part, for any reason."""
    stack = stack_of(vlm)
    module = stack.blocks[-1].module
    try:
        ids = vlm.tokenizer(WORDS, add_special_tokens=False, return_tensors="pt")["input_ids"].to(vlm.device)
        ids = torch.cat([ids, ids.flip(1)])
        trial = _Trial(stack, module.forward, torch.tensor([[1, ids.shape[1] - 2], [0, 3]]))
        with _without_hooks(vlm.model), replaced_forward(module, trial):
            vlm.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a model of any family, perhaps with code of its own: what it raises is the reason
        raise Unfit(f"{type(error).__name__}: {error}") from error
    if trial.runs != 1:
        raise Unfit(f"its last block runs {trial.runs} times in a forward")
    if not trial.off <= SLACK.get(vlm.dtype, 0.02):
        raise Unfit(f"its last block, run in part, ends {trial.off:.1g} off")
    return stack, trial.n_outputs


@contextmanager
def _without_hooks(model: nn.Module) -> Iterator[None]:
    """Within, no pre-hook is called: edits and readers have nothing to do with what is tried."""
    lifted = [(hooks, dict(hooks)) for module in model.modules() if (hooks := module._forward_pre_hooks)]
    for hooks, _ in lifted:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, kept in lifted:
            hooks.update(kept)


def _watched_by_others(model: nn.Module) -> bool:
    """Whether hooks are set that are neither this project's (which see all of z) nor transformers' own collectors."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return True
    hooks = (
        hook
        for module in model.modules()
        for kind in (module._forward_hooks, module._forward_pre_hooks)
        for hook in kind.values()
    )
    known = ("headatlas.", "transformers.utils.output_capturing")
    return not all(str(getattr(hook, "__module__", "")).startswith(known) for hook in hooks)


def _tells_more(model: Any) -> bool:
    """Whether the configuration asks for what all positions say inside the blocks."""
    configs = (model.config, model.config.get_text_config(decoder=True))
    names = ("output_router_logits", "output_hidden_states", "output_attentions")
    return any(getattr(config, name, False) for config in configs for name in names)
