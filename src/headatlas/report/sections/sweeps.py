"""Exact sweeps that were run beside the study: single heads, pairs, a ranking head by head, a greedy minimal set."""

from __future__ import annotations

from collections.abc import Callable

from headatlas.report.page import Block, Note, Section
from headatlas.report.registry import section
from headatlas.report.sweeps.cumulative import cumulative_blocks
from headatlas.report.sweeps.greedy import greedy_blocks
from headatlas.report.sweeps.heads import heads_blocks
from headatlas.report.sweeps.pairs import pairs_blocks
from headatlas.report.tables import Run
from headatlas.results.sweep_files import Sweep

BLOCKS: dict[str, Callable[[Sweep], list[Block]]] = {
    "heads": heads_blocks,
    "pairs": pairs_blocks,
    "cumulative": cumulative_blocks,
    "greedy": greedy_blocks,
}


@section("sweeps", order=145)
def sweeps_section(run: Run) -> Section:
    """A figure and a sentence for each sweep of the run."""
    blocks: list[Block] = [Note(text, weak=True) for text in run.sweeps.left_out]
    for name, build in BLOCKS.items():
        if name in run.sweeps.done:
            blocks += build(run.sweeps.done[name])
    if not blocks:
        blocks.append(
            Note(
                "No sweep was run. `headatlas sweep heads --out RUN` (or pairs, cumulative, greedy; RUN is "
                "this run's folder) runs one, and `headatlas report --out RUN` then shows it here.",
                weak=True,
            )
        )
    return Section(
        id="sweeps",
        title="Exact sweeps",
        intro="Heads are removed one by one, in pairs, or one after the other. The model answers every "
        "question again each time.",
        blocks=tuple(blocks),
    )
