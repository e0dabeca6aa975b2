"""Scopes `answer` and `last`: every answer under every condition is a branch off one bare pass.

An edit of an answer's predicting positions changes nothing before them. A step's prompt, the image and all earlier (gold) answers
are therefore as in the bare pass, and the next step does not see the edit, as in the step-by-step definition. For a condition
only the predicting positions are computed, starting at the output projection of the first block that it edits. The branches of
many conditions, and of all answers of a question, are concatenated in one row. By a tree mask each position sees the shared keys
before its answer and the new keys of its own branch.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from headatlas.engine.answers import Answers, Outcome, outcome_of
from headatlas.engine.attention import AttentionPlan
from headatlas.engine.edits import ChosenPlan, GroupPlan
from headatlas.engine.record import Recording
from headatlas.heads.cache import CACHE_NAMES
from headatlas.vlm.positions import Cut, call_at, take
from headatlas.vlm.stack import Unfit


def branch(
    recording: Recording,
    answers: Answers,
    plan: GroupPlan,
    start: int,
    scope: str,
    attention: AttentionPlan | None = None,
) -> Outcome:
    """The predictions under each of the G conditions of `plan`, all of which first edit block `start`.

    Args:
        recording: the bare pass, with keys and values.
        answers: where answers are predicted.
        plan: the conditions.
        start: first block that any of them edits.
        scope: `answer` (all predicting positions of the answer) or `last` (the first of them).
        attention: edits of attention of the one condition (G = 1).

    Raises:
        Unfit: the model's blocks cannot be called for single positions.
    """
    hidden = branch_hidden(recording, answers, plan, start, scope, attention)
    return outcome_of(recording.tail, hidden, answers)


def branch_hidden(
    recording: Recording,
    answers: Answers,
    plan: GroupPlan | ChosenPlan,
    start: int,
    scope: str,
    attention: AttentionPlan | None = None,
) -> Float[Tensor, "B G M d"]:
    """The output of the last block at the predicting positions under each condition; arguments and errors as `branch`."""
    with nullcontext() if attention is None else attention.over_answers(answers):
        return _branched(recording, answers, plan, start, scope, attention)


def _branched(
    recording: Recording,
    answers: Answers,
    plan: GroupPlan | ChosenPlan,
    start: int,
    scope: str,
    attention: AttentionPlan | None,
) -> Float[Tensor, "B G M d"]:
    stack, groups = recording.stack, plan.groups
    length = recording.hidden[0].shape[1]
    where = None if scope == "answer" else answers.at == answers.start
    at = answers.at.repeat(1, groups)  # [B, G*M]
    masks: dict[int, Tensor] = {}
    cut: Cut = {}
    edited_sites = set(plan.plans)
    hidden = take(recording.hidden[start], answers.at).repeat(1, groups, 1)
    for i in range(start, stack.last + 1):
        block, bare = stack.blocks[i], recording.calls[i]
        # Nothing before the heads of the first block is edited, so their z is that of the bare model.
        recorded = i == start and not (attention and block.site in attention)
        cross = block.site.tower == "X"
        replaced: dict[str, Any] = dict.fromkeys((*CACHE_NAMES, "attention_mask"))
        if not recorded:
            replaced |= dict.fromkeys(CACHE_NAMES, _prefix(recording, i))
            if not cross:
                replaced["attention_mask"] = _mask(recording, i, answers, groups, masks)
        replaced["cross_attention_states"] = None  # their keys and values are in the cache
        call = call_at(bare, at, length, cut, **replaced)
        if i > start and block.site not in edited_sites:
            hidden = stack.run(i, hidden, call)
            continue
        z = take(recording.z[i], answers.at).repeat(1, groups, 1) if recorded else stack.up_to_z(i, hidden, call)
        edited = plan.apply(block.site, z.unflatten(1, (groups, -1)), where).flatten(1, 2)
        hidden = stack.from_z(i, hidden, edited, call, recording.outputs[i])
    return hidden.unflatten(1, (groups, -1))


def _prefix(recording: Recording, i: int) -> DynamicCache:
    """A cache whose layer `i` shares the keys and values of the bare pass."""
    assert recording.cache is not None
    cache, layer = DynamicCache(), DynamicLayer()
    bare: Any = recording.cache.layers[i]
    keys, values = bare.keys, bare.values
    layer.lazy_initialization(keys, keys)
    layer.keys, layer.values = keys, values
    cache.layers.extend([DynamicLayer()] * i + [layer])  # the block uses its own alone
    return cache


def _mask(recording: Recording, i: int, answers: Answers, groups: int, masks: dict[int, Tensor]) -> Tensor:
    """The tree mask of a block, `[B, 1, G*M, T + G*M]`, boolean or additive like the mask of the bare pass."""
    bare = recording.calls[i].kwargs.get("attention_mask")
    key = id(bare)
    if key not in masks:
        device = recording.hidden[i].device
        allowed = tree(_allowed(bare, answers, recording.hidden[0].shape[1]).to(device), answers.to(device), groups)
        if isinstance(bare, Tensor) and bare.is_floating_point():
            blocked = torch.finfo(bare.dtype).min
            masks[key] = torch.zeros(allowed.shape, dtype=bare.dtype, device=device).masked_fill_(~allowed, blocked)
        else:
            masks[key] = allowed
    return masks[key]


def _allowed(bare: Any, answers: Answers, length: int) -> Bool[Tensor, "B M T"]:
    """Which keys each predicting position sees in the bare pass."""
    if bare is None:  # causal, nothing padded
        return torch.arange(length, device=answers.at.device) <= answers.at[..., None]
    if not isinstance(bare, Tensor) or bare.dim() != 4 or bare.shape[-1] != length or bare.shape[-2] != length:
        raise Unfit(f"its attention takes a mask that is not [B, 1, T, T] but {getattr(bare, 'shape', type(bare))}")
    rows = torch.take_along_dim(bare[:, :1], answers.at.to(bare.device)[:, None, :, None], 2)[:, 0]  # [B, M, T]
    return rows if rows.dtype == torch.bool else rows == 0


def tree(allowed: Bool[Tensor, "B M T"], answers: Answers, groups: int) -> Bool[Tensor, "B 1 Q K"]:
    """Which keys the G*M branch positions see: `allowed` ones of the shared T, and their own branch's.

    Keys are the T shared ones, then the G*M new ones, both in the order of the queries.
    """
    batch, width, length = allowed.shape
    shared = allowed & (torch.arange(length, device=allowed.device) < answers.start[..., None])
    within = torch.take_along_dim(allowed, answers.at[:, None, :], 2)  # query m sees the position of key m
    same = answers.answer[:, :, None] == answers.answer[:, None, :]
    own = within & same & answers.real[:, None, :]  # [B, M, M]
    # A position that only fills its row sees itself, so that every query has a key.
    own = own | (torch.eye(width, dtype=torch.bool, device=own.device) & ~answers.real[:, None, :])
    new = torch.zeros(batch, groups, width, groups, width, dtype=torch.bool, device=own.device)
    each = torch.arange(groups, device=own.device)
    new[:, each, :, each, :] = own
    flat = new.reshape(batch, groups * width, groups * width)
    return torch.cat([shared.repeat(1, groups, 1), flat], dim=2)[:, None]
