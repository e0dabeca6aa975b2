"""Apply attention edits: the edited rows are computed again from the kernel's inputs and replaced in its output.

The kernel runs as without edits. Only rows whose head, query position and keys are edited change; all others stay bit for bit the
same. Logits are edited before the mask and the softmax, edit by edit in order, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import BATCH_TOWERS, TEXT_TOWERS
from headatlas.heads.attention.call import AttentionCall, LogitChange
from headatlas.heads.attention.edit import AttentionEdit
from headatlas.heads.attention.sites import chunks, first_key, observed, places
from headatlas.heads.grid import HeadGrid, Site
from headatlas.heads.scope import Positions, Scope, Window, current_mask


@runtime_checkable
class Where(Protocol):
    """The part of `ActiveEdit` that places a forward in the sequence."""

    positions: Positions | None
    scope: Scope
    window: Window | None


@dataclass(frozen=True, eq=False)
class _Entry:
    row: int | None
    heads: list[int]
    edit: AttentionEdit


def attention_sites(grid: HeadGrid, rows: Sequence[Sequence[AttentionEdit]]) -> dict[Site, list[_Entry]]:
    """Check the edits against the model, and return those of each edited site, in order.

    Raises `HeadAtlasError` for heads that the model lacks, and for edits in a tower that cannot have them.
    """
    made: dict[Site, list[_Entry]] = {}
    for row, edits in enumerate(rows):
        for edit in edits:
            grid.check(edit.heads)
            if len(rows) > 1 and edit.rows not in (None, len(rows)):
                raise HeadAtlasError(f"{edit.name}: keys are given for {edit.rows} rows, edits for {len(rows)}")
            if edit.no_op:
                continue
            one = edit.at_row(row) if len(rows) > 1 else edit
            by_site: dict[Site, list[int]] = {}
            for head in edit.heads:
                by_site.setdefault(grid.site(head), []).append(head.head)
            for site, heads in by_site.items():
                if (len(rows) > 1 or edit.rows is not None) and site.tower not in BATCH_TOWERS:
                    raise HeadAtlasError(
                        f"{edit.name}: per-row edits cannot act in tower {site.tower}, whose rows are images, not batch rows"
                    )
                if site.tower not in TEXT_TOWERS and not isinstance(edit.keys, (Tensor, tuple)):
                    raise HeadAtlasError(
                        f"{edit.name}: keys of tower {site.tower} must be a mask or positions, got {edit.keys!r}"
                    )
                made.setdefault(site, []).append(_Entry(row if len(rows) > 1 else None, heads, one))
    return made


@contextmanager
def edited_attention(
    model: nn.Module, grid: HeadGrid, rows: Sequence[Sequence[AttentionEdit]], where: Where
) -> Iterator[None]:
    """Within the block attention is edited: `rows` is one list of edits for all rows of the batch, or one list for each."""
    entries = attention_sites(grid, rows)
    if where.scope != "all" and any(site.tower not in TEXT_TOWERS for site in entries):
        raise HeadAtlasError(
            f"scope {where.scope!r} counts the language model's positions; attention edits in other towers need scope 'all'"
        )
    checked: set[Site] = set()

    def see(site: Site, call: AttentionCall) -> AttentionCall | None:
        if len(rows) > 1 and call.query.shape[0] != len(rows):
            raise HeadAtlasError(
                f"the edits are for {len(rows)} rows, the forward has {call.query.shape[0]}; give one list of edits per row"
            )
        changed = _edited(site, call, entries[site], where, site not in checked)
        checked.add(site)
        return changed

    with observed(model, list(entries), see):
        yield


def _edited(site: Site, call: AttentionCall, entries: list[_Entry], where: Where, check: bool) -> AttentionCall | None:
    """The call as edited; None if no query position is in scope."""
    n_rows, device = call.query.shape[0], call.query.device
    mask = None
    if site.tower in TEXT_TOWERS:
        mask = current_mask(where.scope, where.positions, where.window, n_rows, call.length)
        mask = None if mask is None else mask.to(device)
    changes = tuple(_change(site, call, entry, mask, where) for entry in entries)
    rows = torch.stack([change.chosen.any(1) for change in changes]).any(0)
    asked = rows[:, None].expand(-1, call.length) if mask is None else mask & rows[:, None]
    if not bool(asked.any()):
        return None
    heads = sorted({head for entry in entries for head in entry.heads})
    after = replace(call, changes=call.changes + changes)
    output = call.output.clone()
    index = torch.tensor(heads, device=device)
    batch = torch.arange(n_rows, device=device)
    at, real = places(asked)
    for some in chunks(at.shape[1], n_rows * len(heads) * call.n_keys):
        here = at[:, some]
        if check:
            call.check(call.weights(heads, here), heads, here)
            check = False
        seen = call.mask_rows(heads, here)
        touched = torch.zeros(n_rows, len(heads), here.shape[1], dtype=torch.bool, device=device)
        for change in changes:
            hit = change.keys if seen is None else change.keys & (seen > -torch.inf)
            touched |= change.concerns(heads, here) & hit.any(-1)
        made = after.mixed(after.weights(heads, here), heads).to(output.dtype)  # [B, Q, n, E]
        keep = (touched & real[:, None, some]).transpose(1, 2)[..., None]
        place = (batch[:, None, None], here[:, :, None], index[None, None])
        output[place] = torch.where(keep, made, output[place])
    return replace(after, output=output)


def _change(site: Site, call: AttentionCall, entry: _Entry, queries: Tensor | None, where: Where) -> LogitChange:
    device, edit = call.query.device, entry.edit
    if edit.queries == "text" and site.tower == "L":
        words = _words(call, where).to(device)
        queries = words if queries is None else queries & words
    chosen = torch.zeros(call.query.shape[0], call.n_heads, dtype=torch.bool, device=device)
    chosen[slice(None) if entry.row is None else slice(entry.row, entry.row + 1), entry.heads] = True
    keys = _keys(site, call, edit, where).to(device)
    if edit.kind == "block":
        return LogitChange(chosen, queries, keys, lambda logits: logits.masked_fill(keys, -torch.inf))
    if edit.kind == "scale":
        return LogitChange(chosen, queries, keys, lambda logits: torch.where(keys, logits * edit.amount, logits))
    bias, touched = keys.to(call.dtype) * edit.amount, keys
    if edit.others:
        others = _image(site, call, where).to(device) & ~keys
        bias, touched = bias + others.to(call.dtype) * edit.others, keys | others
    return LogitChange(chosen, queries, touched, lambda logits: logits + bias)


def _words(call: AttentionCall, where: Where) -> Tensor:
    """The query positions of the call that are not image tokens, `[B, T]`; decoded tokens are text."""
    image = None if where.positions is None else where.positions.image
    if image is None:
        raise HeadAtlasError("queries 'text' need the batch's image mask; set active.positions before the forward")
    past = 0 if where.window is None else where.window.past
    now = image[:, past : past + call.length]
    words = torch.ones(image.shape[0], call.length, dtype=torch.bool)
    words[:, : now.shape[1]] = ~now.cpu()
    return words


def _keys(site: Site, call: AttentionCall, edit: AttentionEdit, where: Where) -> Tensor:
    """The edit's keys among the call's, bool `[B|1, 1, 1, K]`."""
    if isinstance(edit.keys, str):
        return _image(site, call, where)
    if isinstance(edit.keys, tuple) and all(isinstance(k, int) for k in edit.keys):
        mask = torch.zeros(max([call.n_keys, *(k + 1 for k in edit.keys)]), dtype=torch.bool)
        mask[list(edit.keys)] = True
    elif isinstance(edit.keys, Tensor):
        mask = edit.keys
    else:
        raise HeadAtlasError(
            f"{edit.name}: keys {edit.keys!r} are of a picture or text; use vlm.edit, which knows where they are"
        )
    mask = mask if mask.dim() == 2 else mask[None]
    if mask.shape[0] not in (1, call.query.shape[0]):
        raise HeadAtlasError(
            f"{edit.name}: keys are given for {mask.shape[0]} rows, the forward has {call.query.shape[0]}"
        )
    return _on_keys(site, call, mask, where)


def _image(site: Site, call: AttentionCall, where: Where) -> Tensor:
    if site.tower == "X":
        return torch.ones(1, 1, 1, call.n_keys, dtype=torch.bool, device=call.query.device)
    image = None if where.positions is None else where.positions.image
    if image is None:
        raise HeadAtlasError("keys 'image' need the batch's image mask; set active.positions before the forward")
    if image.shape[0] != call.query.shape[0]:
        raise HeadAtlasError(f"the image mask has {image.shape[0]} rows, the forward has {call.query.shape[0]}")
    return _on_keys(site, call, image, where)


def _on_keys(site: Site, call: AttentionCall, mask: Tensor, where: Where) -> Tensor:
    """A mask `[B|1, T]` over the sequence as one over the call's keys; False for keys after its end (decoded tokens)."""
    if site.tower == "L":
        mask = mask[:, first_key(call, where.window) :]
    elif mask.shape[1] != call.n_keys:
        raise HeadAtlasError(
            f"a mask over the keys of {site.tower}{site.layer} must have {call.n_keys} places, got {mask.shape[1]}"
        )
    mask = mask[:, : call.n_keys].to(call.query.device)
    padded = torch.zeros(mask.shape[0], call.n_keys, dtype=torch.bool, device=mask.device)
    padded[:, : mask.shape[1]] = mask
    return padded[:, None, None]
