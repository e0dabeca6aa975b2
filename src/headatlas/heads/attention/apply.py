"""Apply attention edits: the edited rows are computed again from the kernel's inputs and replaced in its output.

The kernel runs as without edits. Only rows whose head, query position and keys are edited change; all others stay bit for bit the
same. Logits are edited before the mask and the softmax, edit by edit in order, in float32. Where the edits act is decided on the
host and put on the device once for all layers at which it is the same (`plan.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import BATCH_TOWERS, TEXT_TOWERS
from headatlas.heads.attention.agree import Comparisons
from headatlas.heads.attention.call import AttentionCall
from headatlas.heads.attention.edit import AttentionEdit
from headatlas.heads.attention.plan import Entry, Plan, Plans, Where
from headatlas.heads.attention.sites import observed
from headatlas.heads.grid import HeadGrid, Site


def attention_sites(
    grid: HeadGrid, rows: Sequence[Sequence[AttentionEdit]], only: Sequence[Tensor | None] | None = None
) -> dict[Site, list[Entry]]:
    """Check the edits against the model, and return those of each edited site, in order; `only` as for `edited_attention`.

    Raises `HeadAtlasError` for heads that the model lacks, and for edits in a tower that cannot have them.
    """
    made: dict[Site, list[Entry]] = {}
    for row, edits in enumerate(rows):
        for number, edit in enumerate(edits):
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
                places = None if only is None else only[number]
                made.setdefault(site, []).append(Entry(row if len(rows) > 1 else None, heads, one, places))
    return made


@contextmanager
def edited_attention(
    model: nn.Module,
    grid: HeadGrid,
    rows: Sequence[Sequence[AttentionEdit]],
    where: Where,
    only: Sequence[Tensor | None] | None = None,
) -> Iterator[None]:
    """Within the block attention is edited.

    Args:
        model: the model that is called.
        grid: its heads.
        rows: one list of edits for all rows of the batch, or one list for each.
        where: the scope, and the place of the current forward in the sequence.
        only: for each edit of the one list the query positions of a forward at which it acts, bool `[B, T]`, besides the
            scope; None for all.

    Raises:
        HeadAtlasError: edits that do not fit the model or the forward. At the end of the first forward, or on leaving:
            attention whose rows, as computed here without edits, do not give the kernel's output.
    """
    entries = attention_sites(grid, rows, only)
    if where.scope != "all" and any(site.tower not in TEXT_TOWERS for site in entries):
        raise HeadAtlasError(
            f"scope {where.scope!r} counts the language model's positions; attention edits in other towers need scope 'all'"
        )
    checked: set[Site] = set()
    plans, comparisons = Plans(), Comparisons()

    def see(site: Site, call: AttentionCall) -> AttentionCall | None:
        if len(rows) > 1 and call.query.shape[0] != len(rows):
            raise HeadAtlasError(
                f"the edits are for {len(rows)} rows, the forward has {call.query.shape[0]}; give one list of edits per row"
            )
        plan = plans.of(site, call, entries[site], where)
        if plan is None:
            checked.add(site)
            return None
        changed = _edited(call, plan, plans, None if site in checked else comparisons)
        checked.add(site)
        return changed

    with ExitStack() as stack:
        stack.enter_context(observed(model, list(entries), see))
        if grid.language is not None:
            end = grid.language.register_forward_hook(lambda module, args, output: comparisons.require())
            stack.callback(end.remove)
        yield
    comparisons.require()


def _edited(call: AttentionCall, plan: Plan, plans: Plans, comparisons: Comparisons | None) -> AttentionCall:
    """The call as edited; the rows without edits are compared with the kernel's output if `comparisons` are given."""
    heads, masks = plan.heads, plans.masks
    output = call.output.clone()
    finite = not call.changes and call.options.get("position_bias") is None
    for part in plan.parts:
        logits = call.logits(heads, part.at)
        if comparisons is not None:
            bare = call.softmax(logits, heads, part.at, masks, finite)
            comparisons.add(call.kernel, *call.largest(bare, heads, part.at, masks))
            comparisons = None
        for change in part.changes:
            logits = change(logits)
        weights = call.softmax(logits, heads, part.at, masks, finite and not plan.blocks)
        made = call.mixed(weights, heads).to(output.dtype)  # [B, Q, n, E]
        output[part.place] = torch.where(part.keep(masks.of(call, heads, part.at)), made, output[part.place])
    return replace(call, changes=call.changes + plan.changes, output=output)
