"""The backend `local`: shards run one after the other in this process, on the loaded model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from headatlas.cluster.base import BACKENDS, Shard, Task, Workers
from headatlas.vlm.model import VLM


@BACKENDS.register("local")
class Local(Workers):
    """Runs every shard here, in the order given."""

    def run(self, vlm: VLM, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[int, Any]]:
        """See `Workers.run`."""
        for shard in shards:
            yield shard.number, task(vlm, *(one.make() for one in shard.shared), *shard.args)

    def close(self) -> None:
        """Nothing to do, because no worker was started."""
