"""The edits that are active on a `VLM`, and how they are put on the model, at once or batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionEdit, Edit, edit_heads, edits_in_force, edits_key, uncompiled
from headatlas.heads.scope import check_scope
from headatlas.vlm.image_tokens import needs_place, placed_edits
from headatlas.vlm.prefix import forget_positions
from headatlas.vlm.set_by_hand import dropout_on, hooks
from headatlas.vlm.special_tokens import images_placed

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.loaded import LoadedModel

Edits = tuple[Edit | AttentionEdit, ...]

AroundBatch = Callable[["Batch", Sequence[int]], AbstractContextManager[Any]]
"""A function of a batch and of each row's index in the caller's list; the context that it returns is entered around every
forward pass of the batch."""

ReadBatch = Callable[["Batch", Sequence[int], bool], "Tensor | None"]
"""Gives the logits at the positions that predict a batch's answers in another way than by one forward within `AroundBatch`; None
if there is no other way. The last argument says whether no other edits are active."""


@dataclass(frozen=True)
class _Active:
    edits: Edits
    rows: tuple[Edits, ...] | None
    scope: str
    deferred: bool
    """True if the hooks are set batch by batch, because positions or rows are needed."""
    around: AroundBatch | None = None
    """Entered around every batch instead of `edits`."""
    key: str = ""
    """Identifies the effect of `around`."""
    read: ReadBatch | None = None
    """Used where only the logits at predicting positions are wanted."""


class ActiveEdits:
    """The edits of one `VLM`, outermost first. Edits that need a batch's positions or rows are *deferred*: their hooks are set in
    `running`, batch by batch, and a direct call of the model raises `HeadAtlasError`."""

    def __init__(self, vlm: LoadedModel) -> None:
        self._vlm = vlm
        self._active: list[_Active] = []
        self._within_batch = False
        self._deciding = False

    def __len__(self) -> int:
        return len(self._active)

    @contextmanager
    def edit(
        self, edits: Edits, scope: str, rows: Sequence[Sequence[Edit | AttentionEdit]] | None = None
    ) -> Iterator[None]:
        """Arguments and errors as for `VLM.edit`."""
        vlm = self._vlm
        if check_scope(scope) == "image" and not vlm.image_in_text:
            raise HeadAtlasError(
                f"scope 'image' has no meaning for {vlm.family}: {vlm.picture_path}; use scope 'all' with heads of "
                f"{'the cross-attention (X) or ' if vlm.heads.tower('X') else ''}the vision tower (V)"
            )
        if edits and rows is not None:
            raise HeadAtlasError("edits must be for all rows, or in `rows` with one list for each row, got both")
        placed = any(needs_place(edit) for edit in edits)
        by_batch = scope != "all" or placed or rows is not None or any(edit.rows is not None for edit in edits)
        # Hooks act in the order in which they are set, so an edit inside a deferred one must be deferred, too.
        deferred = by_batch or any(active.deferred for active in self._active)
        with ExitStack() as stack:
            if deferred:
                stack.callback(vlm.model.register_forward_pre_hook(self._guard).remove)
            else:
                stack.enter_context(edit_heads(vlm.model, vlm.heads, list(edits)))
            self._active.append(_Active(edits, None if rows is None else tuple(map(tuple, rows)), scope, deferred))
            stack.callback(self._active.pop)
            yield

    @contextmanager
    def around_batches(self, enter: AroundBatch, key: str, scope: str, read: ReadBatch | None = None) -> Iterator[None]:
        """Arguments as for `VLM.around_batches`."""
        with ExitStack() as stack:
            stack.callback(self._vlm.model.register_forward_pre_hook(self._guard).remove)
            self._active.append(_Active((), None, check_scope(scope), True, enter, key, read))
            stack.callback(self._active.pop)
            yield

    @property
    def key(self) -> tuple[str, ...]:
        """Scope and fingerprints of the edits; for markers and cache keys."""
        return tuple(
            f"{a.scope}:{a.key}" + ",".join(edit.fingerprint for row in (a.rows or (a.edits,)) for edit in row)
            for a in self._active
        )

    @property
    def foreign(self) -> str:
        """Edits of other objects that act on the model, such as `edit_heads` or another `VLM`; empty if there are none."""
        others = edits_in_force(self._vlm.model)
        for active in self._active:
            if not active.deferred and (key := edits_key(active.edits, active.scope)) in others:
                others.remove(key)
        return "" if self._within_batch else "; ".join(others)

    @property
    def all(self) -> tuple[tuple[Edits, str], ...]:
        """The edits for all rows and their scopes; errors as for `VLM.active_edits`."""
        if any(active.around is not None for active in self._active):
            raise HeadAtlasError("changes made batch by batch must be run in one process: leave the workers out")
        return tuple((active.edits, active.scope) for active in self._active)

    @property
    def by_row(self) -> bool:
        """Whether an edit differs from row to row."""
        return any(a.rows is not None or any(edit.rows is not None for edit in a.edits) for a in self._active)

    def read(self, batch: Batch, rows: Sequence[int]) -> Tensor | None:
        """The logits at the batch's predicting positions as an `around_batches` reads them; None where the batch is to be run."""
        reads = [active.read for active in self._active if active.read is not None]
        if not reads or self._deciding:
            return None
        model = self._vlm.model
        return reads[-1](batch, rows, len(self._active) == 1 and not edits_in_force(model) and not hooks(model))

    @contextmanager
    def bare(self) -> Iterator[None]:
        """Within the block `AroundBatch` and `ReadBatch` may run the model without the edits that are opened with them; errors as
        for `running`."""
        self._refuse_dropout()
        before = self._within_batch, self._deciding
        self._within_batch = self._deciding = True
        try:
            forget_positions(self._vlm.model)
            with uncompiled(self._vlm.model):
                yield
        finally:
            self._within_batch, self._deciding = before

    @contextmanager
    def running(self, batch: Batch, rows: Sequence[int]) -> Iterator[None]:
        """Put the deferred edits on the model for one batch, whose rows are the conversations `rows` of the call. A compiled
        model runs uncompiled, because hooks do not act reliably in compiled code.

        Raises:
            HeadAtlasError: a module would drop out values at random, outside of training.
        """
        vlm = self._vlm
        self._refuse_dropout()
        if self._deciding:  # `AroundBatch` runs the model: the edits opened before it are on the model already
            forget_positions(vlm.model)
            with images_placed(vlm.name, vlm.model.config):
                yield
            return
        before, self._within_batch = self._within_batch, True
        try:
            forget_positions(vlm.model)
            with ExitStack() as stack:
                stack.enter_context(uncompiled(vlm.model))
                deferred = [active for active in self._active if active.deferred]
                if deferred:
                    positions = batch.positions
                    for active in deferred:
                        if active.around is not None:
                            self._deciding = True
                            try:
                                stack.enter_context(active.around(batch, rows))
                            finally:
                                self._deciding = False
                            forget_positions(vlm.model)
                            continue
                        edits = placed_edits(vlm, batch, _for_rows(active, rows))
                        stack.enter_context(edit_heads(vlm.model, vlm.heads, edits, active.scope, positions))
                stack.enter_context(images_placed(vlm.name, vlm.model.config))
                yield
        finally:
            self._within_batch = before

    def _refuse_dropout(self) -> None:
        if not torch.is_grad_enabled() and (where := dropout_on(self._vlm.model)):
            raise HeadAtlasError(
                f"{self._vlm.name}: the model must be in evaluation mode, got {where} in training mode, which gives other "
                "answers each time; call vlm.model.eval()"
            )

    def _guard(self, module: nn.Module, args: Any) -> None:
        if not self._within_batch:
            raise HeadAtlasError(
                "vlm.model was called directly under an edit that needs a batch's positions or rows: use vlm.answer, "
                "headatlas.vlm.read or generate, or headatlas.heads.edit_heads on the model itself"
            )


def _for_rows(active: _Active, rows: Sequence[int]) -> Any:
    if active.rows is None and all(edit.rows is None for edit in active.edits):
        return list(active.edits)
    given = min((edit.rows for edit in active.edits if edit.rows is not None), default=len(active.rows or ()))
    if max(rows) >= given:
        raise HeadAtlasError(f"edits must be for {max(rows) + 1} rows or more, got {given}")
    return [[edit.at_row(row) for edit in (active.edits if active.rows is None else active.rows[row])] for row in rows]
