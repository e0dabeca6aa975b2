"""`Workers`: a group of processes that run shards of work with one model and return results as they finish.

A task is a function `task(vlm, *shared, *args)` at the top level of a module, so that another process can import it. If shards
are whole batches of the single-process run, results are bit for bit the same, whichever worker runs a shard and however often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry
from headatlas.vlm.model import VLM

Task = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Shared:
    """Data that several shards need, such as the same pictures; a backend calls `make()` if it has not stored `key` yet."""

    key: str
    make: Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Shard:
    """One piece of work: its number, and the arguments of the task after the model."""

    number: int
    args: tuple[Any, ...] = ()
    shared: tuple[Shared, ...] = ()


class Workers(ABC):
    """Runs tasks on shards; a context manager that ends all workers.

    Attributes:
        size: how many shards run at the same time.
        lost: how many workers have ended in the middle of a shard, which was then run again.
    """

    size: int = 1
    lost: int = 0

    @abstractmethod
    def run(self, vlm: VLM, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[int, Any]]:
        """Run `task` on every shard; yields `(number, result)` as they are done, in any order.

        Shards are taken one by one as workers become free, so `shards` may be larger than memory. The active edits of `vlm`
        apply in every worker.

        Raises:
            HeadAtlasError: a task raised it, workers cannot load this model, or a shard ended its worker several times.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers; the next `run` starts new ones."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


BACKENDS: Registry[Callable[..., Workers]] = Registry(
    "cluster backend", [f"headatlas.cluster.{name}" for name in ("local", "processes", "ray_cluster")]
)
"""Classes of workers by name: `local`, `processes`, `ray`; `BACKENDS.register(name)` adds another."""


def connect(
    devices: Sequence[str] | str | None = None, ray: str | None = None, workers: int | None = None
) -> Workers | None:
    """The workers that a user asks for; None means to run in this process.

    Args:
        devices: of this machine, such as `["cuda:0", "cuda:1"]` or `"cuda:0,cuda:1"`: one process each.
        ray: address of a Ray cluster; `"local"` starts one on this machine.
        workers: of a Ray cluster: how many; by default one per GPU, or one per CPU core where it has none.

    Raises:
        HeadAtlasError: both are given, a device is unknown, or the cluster cannot be reached.
    """
    if devices is not None and ray is not None:
        raise HeadAtlasError(
            "devices and ray must not be given together: name devices of this machine or a Ray cluster"
        )
    if workers is not None and ray is None:
        raise HeadAtlasError("workers must be given with ray, got no Ray cluster: name one, or give devices instead")
    if devices is not None:
        names = [part.strip() for part in devices.split(",")] if isinstance(devices, str) else list(devices)
        return BACKENDS["processes"](names)
    return None if ray is None else BACKENDS["ray"](ray, workers=workers)
