"""The driver's side of any group of worker processes: which worker runs which shard, and what happens if a worker is lost.

A worker that ends (killed, out of memory, machine down) is replaced, and its shard is run again by the first free worker.
Subclasses implement how shards and replies are sent.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headatlas.cluster.base import Shard, Task, Workers
from headatlas.cluster.worker import Around, Model, Reply
from headatlas.errors import HeadAtlasError
from headatlas.vlm.model import VLM

log = logging.getLogger("headatlas")

TRIES = 3
"""How often a shard may end its worker, and how many workers in a row may end before they are ready."""


@dataclass(eq=False)
class Member:
    """One worker: `handle` belongs to the subclass; `pid` and `host` are known once the worker is ready."""

    handle: Any
    device: str
    pid: int = 0
    host: str = ""
    ready: bool = False
    shard: Shard | None = None
    tries: int = 0
    stale: bool = False
    """It is still busy with a run that has ended, so its next reply is dropped."""


@dataclass(frozen=True)
class Lost:
    """A worker ended; `why` says how."""

    why: str


@dataclass(eq=False)
class Pool(Workers):
    """Workers on `devices`, one each; started at the first shard, and kept with the model loaded until `close`."""

    devices: tuple[str, ...]
    members: list[Member] = field(default_factory=list)
    model: Model | None = None
    lost: int = 0
    _failed_starts: int = 0

    @property
    def size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How many shards run at the same time."""
        return len(self.devices)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are ready."""
        return tuple(member.pid for member in self.members if member.ready)

    @abstractmethod
    def _start(self, vlm: VLM, model: Model, device: str) -> Any:
        """Start a worker without waiting for it, and return its handle; its first reply says that it is ready."""

    @abstractmethod
    def _send(self, member: Member, task: Task, shard: Shard, around: Around) -> None:
        """Send a shard to a worker that is free."""

    @abstractmethod
    def _wait(self, members: list[Member]) -> list[tuple[Member, Reply | Lost]]:
        """Wait until at least one of these members has replied or is lost."""

    @abstractmethod
    def _stop(self, member: Member) -> None:
        """End a worker, busy or not."""

    def run(self, vlm: VLM, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[int, Any]]:
        """See `Workers.run`."""
        if vlm.by_row:
            raise HeadAtlasError(
                "edits must be the same for all rows to be sent to workers, got edits that differ from row to row"
            )
        self._for(vlm)
        around = vlm.active_edits
        coming, again = iter(shards), deque[tuple[Shard, int]]()
        results: list[tuple[int, Any]] = []
        more = True
        try:
            while True:
                for member in self._idle(vlm):
                    shard, tries = again.popleft() if again else (next(coming, None) if more else None, 0)
                    if shard is None:
                        more = False
                        break
                    self._send(member, task, shard, around)
                    member.shard, member.tries = shard, tries
                yield from results  # while all workers are busy
                results.clear()
                if not more and not again and not any(member.shard for member in self.members):
                    return
                owing = [one for one in self.members if one.shard or one.stale or not one.ready]
                for member, reply in self._wait(owing):
                    if isinstance(reply, Lost):
                        again += self._replace(vlm, member, reply)
                    elif not member.ready:
                        member.pid, member.host = reply.get()
                        member.ready, self._failed_starts = True, 0
                    elif member.stale:
                        member.stale = False
                    else:
                        assert member.shard is not None
                        number, member.shard = member.shard.number, None
                        results.append((number, reply.get()))
        finally:
            for member in self.members:
                member.shard, member.stale = None, member.stale or member.shard is not None

    def close(self) -> None:
        """End all workers."""
        self._drop_all()

    def _drop_all(self) -> None:
        for member in list(self.members):
            self._drop(member)

    def _for(self, vlm: VLM) -> None:
        """Note the model; workers that have loaded another one are ended."""
        model = Model.of(vlm)
        if self.model != model:
            self._drop_all()
            self.model = model

    def _idle(self, vlm: VLM) -> list[Member]:
        """Workers that are free; missing ones are started."""
        there = [member.device for member in self.members]
        missing = list(self.devices)
        for device in there:
            missing.remove(device)
        assert self.model is not None
        for device in missing:
            self.members.append(Member(self._start(vlm, self.model, device), device))
        return [member for member in self.members if member.ready and member.shard is None and not member.stale]

    def _replace(self, vlm: VLM, member: Member, lost: Lost) -> list[tuple[Shard, int]]:
        """Drop a lost worker; returns the shard that it had, which must run again, and its number of tries."""
        self._drop(member)
        if not member.ready:
            self._failed_starts += 1
            if self._failed_starts >= TRIES:
                raise HeadAtlasError(
                    f"workers on {member.device} end before they are ready ({lost.why}): a script that uses several "
                    'devices must start its work under `if __name__ == "__main__":`; see also the log above'
                )
            return []
        if member.shard is None:
            return []
        self.lost += 1
        tries = member.tries + 1
        if tries >= TRIES:
            raise HeadAtlasError(
                f"shard {member.shard.number} ended its worker {tries} times ({lost.why}): it may need more memory; try a "
                "smaller batch size"
            )
        log.warning(
            "worker %d on %s was lost (%s): its shard %d is run again",
            member.pid,
            member.device,
            lost.why,
            member.shard.number,
        )
        return [(member.shard, tries)]

    def _drop(self, member: Member) -> None:
        self.members.remove(member)
        self._stop(member)
