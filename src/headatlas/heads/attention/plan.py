"""Where attention edits act in one forward, computed once for all layers at which it is the same.

Masks of the batch are on the host; what follows from them is put on the device with the first layer, so that the host does not
wait for the device at every other one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import TEXT_TOWERS
from headatlas.heads.attention.call import AttentionCall, LogitChange, MaskRows, Masks
from headatlas.heads.attention.edit import AttentionEdit
from headatlas.heads.attention.pick import on_device
from headatlas.heads.attention.sites import chunks, first_key, places
from headatlas.heads.grid import Site
from headatlas.heads.scope import Positions, Scope, Window, current_mask


@runtime_checkable
class Where(Protocol):
    """The part of `ActiveEdit` that places a forward in the sequence."""

    positions: Positions | None
    scope: Scope
    window: Window | None


@dataclass(frozen=True, eq=False)
class Entry:
    """One edit at one site.

    Attributes:
        row: the only row of the batch that has it; None: all have.
        heads: its heads, by number within the layer.
        edit: the edit.
        only: the query positions of a forward at which it acts, bool `[B, T]`, besides the scope; None: all.
    """

    row: int | None
    heads: list[int]
    edit: AttentionEdit
    only: Tensor | None = None


@dataclass(eq=False)
class Part:
    """Some query positions of the edited rows.

    Attributes:
        at: the positions, `[B, Q]`.
        place: index of these positions and of the edited heads into an output `[B, T, H, E]`.
        changes: what the edits do to logits `[B, n, Q, K]`, in order.
    """

    at: Int[Tensor, "B Q"]
    place: tuple[Tensor, ...]
    changes: list[Callable[[Tensor], Tensor]]
    _real: Bool[Tensor, "B Q"]
    _touching: list[tuple[Tensor, Tensor]]
    _kept: list[tuple[MaskRows, Tensor]] = field(default_factory=list)

    def keep(self, mask: MaskRows) -> Bool[Tensor, "B Q n 1"]:
        """Which rows change under a mask: those that see a key that an edit changes."""
        for known, kept in self._kept:
            if known is mask:
                return kept
        touched: Any = False
        for concerned, keys in self._touching:
            hit = keys if mask.additive is None else keys & (mask.additive > -torch.inf)
            touched = touched | (concerned & hit.any(-1))  # [B, n, Q]
        kept = (touched & self._real[:, None]).transpose(1, 2)[..., None]
        self._kept = [*self._kept[-1:], (mask, kept)]  # layers have two kinds of masks at most
        return kept


@dataclass(frozen=True, eq=False)
class Plan:
    """The edits of calls that agree in everything that decides where they act.

    Attributes:
        heads: the n edited heads, by number within the layer.
        changes: what outer readers of the call need.
        parts: the edited query positions.
        blocks: whether an edit hides keys.
    """

    heads: list[int]
    changes: tuple[LogitChange, ...]
    parts: list[Part]
    blocks: bool


class Plans:
    """The plans of one forward, made when they are first asked for."""

    def __init__(self) -> None:
        self.masks = Masks()
        self._known: dict[tuple[Any, ...], Plan | None] = {}
        self._forward: tuple[Any, Any] = (None, None)

    def of(self, site: Site, call: AttentionCall, entries: Sequence[Entry], where: Where) -> Plan | None:
        """The plan of a call; None if no query position is in scope."""
        if where.window is not self._forward[0] or where.positions is not self._forward[1]:
            self._forward = where.window, where.positions
            self._known.clear()
            self.masks.clear()
        edits = tuple((id(entry.edit), entry.row, tuple(entry.heads), id(entry.only)) for entry in entries)
        shape = (call.query.shape[0], call.n_heads, call.length, call.n_keys)
        key = (site.tower, edits, shape, call.query.device, call.dtype, torch.is_inference_mode_enabled())
        if key not in self._known:
            self._known[key] = _plan(site, call, entries, where)
        return self._known[key]


def _plan(site: Site, call: AttentionCall, entries: Sequence[Entry], where: Where) -> Plan | None:
    n_rows, device = call.query.shape[0], call.query.device
    scope = None
    if site.tower in TEXT_TOWERS:
        scope = current_mask(where.scope, where.positions, where.window, n_rows, call.length)
    asked, made = torch.zeros(n_rows, call.length, dtype=torch.bool), []
    for entry in entries:
        change = _change(site, call, entry, scope, where)
        queries = torch.ones_like(asked) if change.queries is None else change.queries
        asked = asked.to(queries.device) | (change.chosen.any(1)[:, None].to(queries.device) & queries)
        made.append(change)
    if not bool(asked.any()):
        return None
    heads = sorted({head for entry in entries for head in entry.heads})
    alike = [len({tuple(column) for column in change.chosen[:, heads].T.tolist()}) == 1 for change in made]
    everywhere = [change.queries is None and bool(change.chosen[:, heads].all()) for change in made]
    at, real = (part.to(device) for part in places(asked))
    changes = tuple(_moved(change, device) for change in made)
    batch, every = torch.arange(n_rows, device=device), len(heads) == call.n_heads
    parts = []
    for some in chunks(at.shape[1], n_rows * len(heads) * call.n_keys):
        here = at[:, some]
        place: tuple[Tensor, ...] = (batch[:, None], here)
        if not every:
            place = (batch[:, None, None], here[:, :, None], on_device(tuple(heads), device)[None, None])
        concerned = [
            change.concerns(heads[:1] if same else heads, here) for change, same in zip(changes, alike, strict=True)
        ]
        doing = [
            _acting(call, entry.edit, change, mine, same, whole)
            for entry, change, mine, same, whole in zip(entries, changes, concerned, alike, everywhere, strict=True)
        ]
        touching = [(mine, change.keys) for mine, change in zip(concerned, changes, strict=True)]
        parts.append(Part(here, place, doing, real[:, some], touching))
    return Plan(heads, changes, parts, any(entry.edit.kind == "block" for entry in entries))


def _acting(
    call: AttentionCall,
    edit: AttentionEdit,
    change: LogitChange,
    concerned: Bool[Tensor, "B n Q"],
    alike: bool,
    everywhere: bool,
) -> Callable[[Tensor], Tensor]:
    """What an edit does to the logits of these rows: one operation if it does the same in all edited heads."""
    mine = concerned[..., None]
    if not alike:  # a table of factors would be as large as the logits
        return lambda logits: torch.where(mine, change.change(logits), logits)
    if everywhere:
        return change.change
    keys = change.keys
    if edit.kind == "scale":
        factor = torch.where(mine, change.change(torch.ones(keys.shape, dtype=call.dtype, device=keys.device)), 1.0)
        return lambda logits: logits * factor
    added = torch.where(mine, change.change(torch.zeros(keys.shape, dtype=call.dtype, device=keys.device)), 0.0)
    return lambda logits: logits + added


def _moved(change: LogitChange, device: torch.device) -> LogitChange:
    queries = None if change.queries is None else change.queries.to(device)
    return LogitChange(change.chosen.to(device), queries, change.keys, change.change)


def _change(site: Site, call: AttentionCall, entry: Entry, queries: Tensor | None, where: Where) -> LogitChange:
    """The change of one edit: its keys on the call's device, its rows, heads and queries where the batch's masks are."""
    device, edit = call.query.device, entry.edit
    if edit.queries == "text" and site.tower == "L":
        words = _words(call, where)
        queries = words if queries is None else queries & words.to(queries.device)
    if entry.only is not None:
        queries = entry.only if queries is None else queries & entry.only.to(queries.device)
    chosen = torch.zeros(call.query.shape[0], call.n_heads, dtype=torch.bool)
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
        return torch.ones(1, 1, 1, call.n_keys, dtype=torch.bool)
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
    mask = mask[:, : call.n_keys]
    padded = torch.zeros(mask.shape[0], call.n_keys, dtype=torch.bool, device=mask.device)
    padded[:, : mask.shape[1]] = mask
    return padded[:, None, None]
