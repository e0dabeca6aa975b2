"""`EditableModel`: a loaded model whose heads can be edited within `with` blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from headatlas.heads import AttentionEdit, Edit
from headatlas.vlm.active_edits import ActiveEdits, AroundBatch, Edits, ReadBatch
from headatlas.vlm.loaded import LoadedModel

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch


class EditableModel(LoadedModel):
    """A loaded model whose heads can be edited; arguments as `LoadedModel`."""

    def __init__(self, name: str, model: nn.Module, processor: Any, fingerprint: str | None = None) -> None:
        self._edits = ActiveEdits(self)
        super().__init__(name, model, processor, fingerprint)

    @property
    def identity(self) -> dict[str, str]:
        """As `LoadedModel.identity`, with edits that were not made through this object; its own ones are in `edits_key`."""
        parts, foreign = super().identity, self._edits.foreign
        return parts | {"edits": foreign} if foreign else parts

    @contextmanager
    def edit(
        self,
        *edits: Edit | AttentionEdit,
        scope: str = "all",
        rows: Sequence[Sequence[Edit | AttentionEdit]] | None = None,
    ) -> Iterator[Self]:
        """Within the block the heads are edited in everything that the model reads, generates or captures. Nested edits apply
        one after the other.

        Args:
            edits: applied to every row, in order: of z (`zero`, `mean`, `steer`...) and of attention (`attend`, `block`...);
                keys of the latter may be `"image"`, a `Box` of the first picture, or token positions of each conversation.
            scope: `all` positions, `image`, `prompt`, `answer` (the positions that predict an answer token) or `last`.
            rows: instead of `edits`, one list of edits for each conversation of the next calls.

        Raises:
            HeadAtlasError: unknown scope, both `edits` and `rows`, an edit that did not take place, or a direct call of
                `vlm.model` under an edit that needs a batch's positions or rows.
        """
        with self._edits.edit(edits, scope, rows):
            yield self

    @contextmanager
    def around_batches(
        self, enter: AroundBatch, key: str, scope: str = "answer", read: ReadBatch | None = None
    ) -> Iterator[Self]:
        """Within the block, `enter(batch, rows)` is entered around every run of a batch.

        This is for changes that are decided batch by batch, for example by the model's confidence. `enter` may run the model
        itself (`vlm.model`), under the edits opened before this one.

        Args:
            enter: called with the batch and the index of each of its rows in the caller's list.
            key: changes whenever the effect could; for markers and cache keys.
            scope: where it acts. With `answer` or `last` no computation is shared between steps of a conversation.
            read: a way to read the answers of a batch other than one run of it, see `active_edits.ReadBatch`.
        """
        with self._edits.around_batches(enter, key, scope, read):
            yield self

    @property
    def edited(self) -> bool:
        """True within `edit`."""
        return bool(self._edits)

    @property
    def edits_key(self) -> tuple[str, ...]:
        """Scope and fingerprints of the active edits, outermost first; for markers and cache keys."""
        return self._edits.key

    @property
    def active_edits(self) -> tuple[tuple[Edits, str], ...]:
        """The active edits for all rows and their scopes, outermost first.

        Raises:
            HeadAtlasError: within `around_batches`, whose changes are not edits that can be written down.
        """
        return self._edits.all

    @property
    def by_row(self) -> bool:
        """True if an active edit differs from row to row."""
        return self._edits.by_row

    def read_otherwise(self, batch: Batch, rows: Sequence[int]) -> Tensor | None:
        """The logits at the predicting positions, where active edits have a way of their own to read a batch; else None."""
        return self._edits.read(batch, rows)

    def bare(self) -> AbstractContextManager[None]:
        """Within the block what `around_batches` calls may run the model without its own edits."""
        return self._edits.bare()

    def running(self, batch: Batch, rows: Sequence[int]) -> AbstractContextManager[None]:
        """Put the active edits on the model for one batch, whose rows are the conversations `rows` of the call."""
        return self._edits.running(batch, rows)
