"""Train one model in several processes of one thread each: every process takes a part of the batch, and gradients are summed.

On two cores this is faster than two threads, above all when other programs use the cores too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from headatlas.progress import Progress


@dataclass(frozen=True)
class Team:
    """This process's rank (0-based) among `size` processes; the first one writes files."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes."""
        if self.size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def wait(self) -> None:
        """Return when all processes have called this."""
        if self.size > 1:
            dist.barrier()


def run_team(
    work: Callable[..., None], size: int, folder: Path, arguments: tuple[Any, ...], progress: Progress | None
) -> None:
    """Run `work(team, *arguments, progress)` in `size` processes, of which this is the first.

    The processes find each other through a file in `folder`. `work` and its arguments must be picklable, because they are started
    with `spawn`; in the other processes `progress` is None.
    """
    if size == 1:
        work(Team(), *arguments, progress)
        return
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    context = get_context("spawn")
    quiet = (*arguments, None)
    others = [
        context.Process(target=_member, args=(work, rank, size, meeting, quiet), daemon=True) for rank in range(1, size)
    ]
    for process in others:
        process.start()
    try:
        _member(work, 0, size, meeting, (*arguments, progress))
        for process in others:
            process.join()
    finally:
        for process in others:
            process.terminate()
        meeting.unlink(missing_ok=True)


def _member(work: Callable[..., None], rank: int, size: int, meeting: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting.absolute()}", rank=rank, world_size=size, timeout=timedelta(hours=2)
    )
    try:
        work(Team(rank, size), *arguments)
    finally:
        dist.destroy_process_group()
