"""Apply edits to a running model.

For every layer that is touched, the edits of each batch row are composed, in order, into one factor `[B|1, H]` and one shift
`[B|1, H, D]` (a later edit acts on the result of the earlier ones: f := f2*f, s := f2*s + s2). A forward pre-hook on the
layer's output projection replaces its input by factor * z + shift at the positions in scope. The model keeps its attention
kernels. Leaving the context removes every hook, also after an exception.

A second hook, on the language model as a whole, notes how many tokens are cached and how many are new, so that masks over the
full sequence can be cut to the current forward (`scope.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import BATCH_TOWERS, TEXT_TOWERS
from headatlas.heads.attention.apply import edited_attention
from headatlas.heads.attention.edit import AttentionEdit, split_edits
from headatlas.heads.attention.sites import window_of
from headatlas.heads.edit import Edit
from headatlas.heads.grid import HeadGrid, Site
from headatlas.heads.hooks import at_sites
from headatlas.heads.scope import Positions, Scope, Window, check_scope, current_mask

_Edits = Sequence[Edit | AttentionEdit] | Sequence[Sequence[Edit | AttentionEdit]]

_in_force: "WeakKeyDictionary[nn.Module, dict[ActiveEdit, tuple[_Edits, str]]]" = WeakKeyDictionary()
"""What every block of `edit_heads` that is open applies, and where, by model."""


class ActiveEdit:
    """The edits that are active on a model.

    Attributes:
        positions: masks of the batch; set them before each batch unless the scope is `all`.
        scope: where the edits act.
        rows: the number of batch rows for which edits were given, 1 if every row gets the same.
        window: the tokens of the current forward, if known.
    """

    def __init__(self, plans: "dict[Site, LayerPlan]", rows: int, scope: Scope, positions: Positions | None) -> None:
        self.positions = positions
        self.scope: Scope = scope
        self.rows = rows
        self.window: Window | None = None
        self._plans = plans

    def apply(self, site: Site, hidden: Tensor) -> Tensor:
        """The input that the output projection of `site` gets instead of `hidden`, of the same shape: `[B, T, H*D]`,
        `[T, H*D]` or `[B, h, w, H*D]`."""
        z = site.split(hidden)  # [B, T, H, D]
        plan = self._plans[site]
        if plan.factor.shape[0] not in (1, z.shape[0]):
            raise HeadAtlasError(
                f"the edits are for {plan.factor.shape[0]} rows, the forward has {z.shape[0]}; give one list of edits "
                "per row (beams and several returned sequences per row are not supported)"
            )
        mask = current_mask(self.scope, self.positions, self.window, z.shape[0], z.shape[1])
        factor, shift = plan.to(z)
        edited = z * factor[:, None, :, None]
        if shift is not None:
            edited = edited + shift[:, None]
        if mask is not None:
            edited = torch.where(mask.to(z.device)[:, :, None, None], edited, z)
        return edited.reshape(hidden.shape)


class LayerPlan:
    """The composed edits of one layer: `factor [B|1, H]` and `shift [B|1, H, D]` or None, float32."""

    def __init__(self, factor: Tensor, shift: Tensor | None) -> None:
        self.factor = factor
        self.shift = shift
        self._converted: tuple[Any, tuple[Tensor, Tensor | None]] | None = None

    def to(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Factor and shift on the device and in the dtype of `z`; the conversion is kept."""
        # Tensors made in inference mode cannot be used where gradients are needed.
        key = (z.device, z.dtype, torch.is_inference_mode_enabled())
        if self._converted is None or self._converted[0] != key:
            self._converted = key, (self.factor.to(z), None if self.shift is None else self.shift.to(z))
        return self._converted[1]


def compile_edits(
    grid: HeadGrid, edits: Sequence[Edit] | Sequence[Sequence[Edit]]
) -> tuple[dict[Site, LayerPlan], int]:
    """Check edits against the model and compose them.

    Args:
        grid: the heads of the model.
        edits: one list for all rows, or one list for each row.

    Returns:
        The plan of every site that is touched, and the number of rows (1: the same for all).

    Raises:
        HeadAtlasError: a head that the model does not have, values of another shape than the model's `[L, H, D]`, or per-row
            values that do not fit the rows.
    """
    rows = _rows(edits)
    plans: dict[Site, LayerPlan] = {}
    seen: set[int] = set()
    for row, row_edits in enumerate(rows):
        for edit in row_edits:
            if id(edit) not in seen:  # lists per row repeat the same few edits
                _check(grid, edit)
                seen.add(id(edit))
            if len(rows) > 1 and edit.rows not in (None, len(rows)):
                raise HeadAtlasError(f"{edit.name}: got values for {edit.rows} rows, edits for {len(rows)}")
            one = edit.at_row(row)
            for site, heads in _by_site(grid, edit).items():
                plan = plans.get(site)
                if plan is None:
                    plan = plans[site] = LayerPlan(torch.ones(len(rows), site.n_heads), None)
                _compose(plan, site, row, heads, one)
    if len(rows) > 1 and any(site.tower not in BATCH_TOWERS for site in plans):
        raise HeadAtlasError(
            "per-row edits cannot act in the vision tower or connector, whose rows are images, not batch rows"
        )
    return plans, len(rows)


def _rows(edits: Sequence[Edit] | Sequence[Sequence[Edit]]) -> list[list[Edit]]:
    if any(not isinstance(item, Edit) for item in edits):
        if any(isinstance(item, Edit) for item in edits):
            raise HeadAtlasError("edits must be one list of Edit, or one list of Edit per row, not a mixture")
        return [list(row) for row in edits]  # pyright: ignore[reportArgumentType]
    common: list[Edit] = list(edits)  # pyright: ignore[reportAssignmentType]
    given = {edit.rows for edit in common} - {None}
    if len(given) > 1:
        raise HeadAtlasError(f"edits hold values for different numbers of rows: {sorted(given)}")  # pyright: ignore[reportArgumentType]
    return [common] * (given.pop() or 1 if given else 1)


def _check(grid: HeadGrid, edit: Edit) -> None:
    grid.check(edit.heads)
    if edit.shift is None or not len(edit.heads):
        return
    dims = grid.padded(edit.heads.towers()[0])
    if tuple(edit.shift.shape[-3:]) != dims:
        raise HeadAtlasError(
            f"{edit.name}: values must be [L, H, D] = {list(dims)} for this model, got {list(edit.shift.shape[-3:])}"
        )


def _by_site(grid: HeadGrid, edit: Edit) -> dict[Site, list[int]]:
    heads: dict[Site, list[int]] = {}
    for head in edit.heads:
        heads.setdefault(grid.site(head), []).append(head.head)
    return heads


def _compose(plan: LayerPlan, site: Site, row: int, heads: list[int], edit: Edit) -> None:
    plan.factor[row, heads] *= edit.factor
    if plan.shift is None and edit.shift is not None:
        plan.shift = torch.zeros(plan.factor.shape[0], site.n_heads, site.d_head)
    if plan.shift is not None:
        new = edit.factor * plan.shift[row, heads]
        if edit.shift is not None:
            # Values for a tower of unequal layers are padded: this layer uses the first d_head numbers.
            new = new + edit.shift[site.layer, heads, : site.d_head].to(plan.shift)
        plan.shift[row, heads] = new


def edits_in_force(model: nn.Module) -> list[str]:
    """The scope and the fingerprints of the edits of every open block of `edit_heads` on `model`, outermost first."""
    return [edits_key(edits, scope) for edits, scope in _in_force.get(model, {}).values()]


def edits_key(edits: _Edits, scope: str) -> str:
    """Scope and fingerprints of edits, as in `edits_in_force`."""
    every = [edit for one in edits for edit in (one if isinstance(one, Sequence) else (one,))]
    return f"{scope}:" + ",".join(edit.fingerprint for edit in every)


@contextmanager
def edit_heads(
    model: nn.Module,
    grid: HeadGrid,
    edits: _Edits,
    scope: str = "all",
    positions: Positions | None = None,
) -> Iterator[ActiveEdit]:
    """Apply `edits` to `model` within the block; yields the `ActiveEdit`.

    In `generate`, the masks are those of the prompt: they are cut to the first forward, and every token that is decoded later
    counts as an `answer` (and `last`) position.

    Args:
        model: the model that is called.
        grid: its heads.
        edits: one list for all rows, or one list for each batch row; several edits act in order, those of attention before
            those of z.
        scope: one of `SCOPES`.
        positions: masks over the batch's full sequence, which every scope but `all` needs; may be set later as
            `active.positions`, before each batch.

    Raises:
        HeadAtlasError: unknown heads or scopes, or shapes that do not fit; in a forward: missing masks, rows and lengths that
            do not fit, or an edit that did not take place (see `hooks.py`). Every hook is removed on leaving.
    """
    checked = check_scope(scope)
    given = edits
    edits, attention = split_edits(edits)
    plans, rows = compile_edits(grid, edits)
    if checked != "all" and any(site.tower not in TEXT_TOWERS for site in plans):
        raise HeadAtlasError(
            f"scope {scope!r} refers to positions of the language model; edits in the vision tower, a connector or a text "
            "encoder need scope 'all'"
        )
    active = ActiveEdit(plans, rows, checked, positions)
    with ExitStack() as hooks:
        if checked != "all" or attention:
            root = grid.language if grid.language is not None else model
            hooks.callback(root.register_forward_pre_hook(_watch(active), with_kwargs=True).remove)
        if attention:
            hooks.enter_context(edited_attention(model, grid, attention, active))
        hooks.enter_context(at_sites(grid, list(plans), active.apply, "edit", model))
        blocks = _in_force.setdefault(model, {})
        blocks[active] = (given, checked)
        hooks.callback(blocks.pop, active)
        yield active


def _watch(active: ActiveEdit) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        active.window = window_of(args, kwargs)

    return hook
