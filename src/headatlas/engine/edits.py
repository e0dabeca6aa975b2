"""The edits of many conditions at one site, as one factor and one shift each.

A shift may have one value for each conversation (`[B, L, H, D]`); then there is a plan for each conversation and condition,
otherwise one for each condition, shared by all conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas.heads import AttentionEdit, Edit, HeadGrid, Site
from headatlas.heads.apply import LayerPlan, compile_edits

Edits = Sequence[Edit | AttentionEdit]


@dataclass(frozen=True, eq=False)
class GroupPlan:
    """G conditions compiled for the B conversations of a batch: by site, factors `[b*G, H]` and shifts, b = B or 1."""

    plans: dict[Site, LayerPlan]
    groups: int

    def apply(
        self, site: Site, z: Float[Tensor, "B G M HD"], where: Bool[Tensor, "B M"] | None
    ) -> Float[Tensor, "B G M HD"]:
        """z after the edits, which act at the positions of `where` (None: at all positions)."""
        plan = self.plans.get(site)
        if plan is None:
            return z
        factor, shift = plan.to(z)
        split = z.unflatten(-1, (site.n_heads, site.d_head))  # [B, G, M, H, D]
        edited = split * factor.unflatten(0, (-1, self.groups))[:, :, None, :, None]
        if shift is not None:
            edited = edited + shift.unflatten(0, (-1, self.groups))[:, :, None]
        if where is not None:
            edited = torch.where(where.to(z.device)[:, None, :, None, None], edited, split)
        return edited.flatten(-2)


@dataclass(frozen=True, eq=False)
class ChosenPlan:
    """Conditions of which each answer has one: the counterpart of `GroupPlan` with one condition a plan, for one branch.

    Attributes:
        parts: each condition, and the positions that have it, bool [B, M].
    """

    parts: Sequence[tuple[GroupPlan, Bool[Tensor, "B M"]]]
    groups: int = 1

    @property
    def plans(self) -> set[Site]:
        """The sites that a condition edits."""
        return {site for plan, _ in self.parts for site in plan.plans}

    def apply(
        self, site: Site, z: Float[Tensor, "B G M HD"], where: Bool[Tensor, "B M"] | None
    ) -> Float[Tensor, "B G M HD"]:
        """As `GroupPlan.apply`, each condition at its own positions."""
        for plan, mine in self.parts:
            z = plan.apply(site, z, mine if where is None else mine & where.to(mine.device))
        return z


def compile_group(grid: HeadGrid, conditions: Sequence[Edits], rows: Sequence[int]) -> GroupPlan:
    """Compile the edits of z of G conditions for the conversations numbered `rows`, the index into values given for each.

    Raises:
        HeadAtlasError: as `compile_edits`; also if there are fewer values than conversations.
    """
    by_row = any(edit.rows is not None for edits in conditions for edit in edits if isinstance(edit, Edit))
    if by_row:
        lists = [[edit.at_row(row) for edit in edits if isinstance(edit, Edit)] for row in rows for edits in conditions]
    else:
        lists = [[edit for edit in edits if isinstance(edit, Edit)] for edits in conditions]
    plans, _ = compile_edits(grid, lists)
    return GroupPlan(plans, len(conditions))


def first_block(conditions: Edits, grid: HeadGrid, index: dict[Site, int]) -> int | None:
    """The first block that a condition edits, -1 if it edits a site outside the blocks; None if it has no heads."""
    acting = [edit for edit in conditions if not (isinstance(edit, AttentionEdit) and edit.no_op)]
    touched = [index.get(grid.site(head), -1) for edit in acting for head in edit.heads]
    return min(touched) if touched else None
