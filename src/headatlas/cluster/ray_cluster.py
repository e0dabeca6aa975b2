"""Workers on a Ray cluster, one actor each (`pip install 'headatlas[ray]'`).

Ray's own restarts are not used: `pool.py` replaces a lost actor and runs its shard again. Shared arguments are put into Ray's
object store once.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from headatlas.cluster.base import BACKENDS, Shard, Task
from headatlas.cluster.pool import Lost, Member, Pool
from headatlas.cluster.worker import Around, Model, Reply, answer, started
from headatlas.errors import HeadAtlasError
from headatlas.vlm.model import VLM

LOCAL = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
"""How a cluster on this machine is started."""

_ONLY_HERE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for its servers to listen on 127.0.0.1 alone ("0"), as they do on Windows and macOS."""

_PATIENCE = {"RAY_agent_register_timeout_ms": "120000", "RAY_raylet_start_wait_time_s": "120"}
"""Time limits for starting Ray's processes: on a busy machine Ray's own are too short."""


@BACKENDS.register("ray")
class RayWorkers(Pool):
    """Workers on a Ray cluster.

    Args:
        address: `host:port` or `ray://host:port` of a cluster, `"auto"` for the one that this machine belongs to, or
            `"local"` to start one here, which ends with the workers.
        workers: how many; by default one per GPU of the cluster, or one per CPU core where it has no GPU.
        threads: CPU threads, and cores asked for, of each worker.

    Raises:
        HeadAtlasError: ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, address: str = "local", workers: int | None = None, threads: int = 1) -> None:
        if workers is not None and workers < 1:
            raise HeadAtlasError(f"workers must be at least 1, got {workers}")
        self._ray: Any = _ray(address == "local")
        self._own = address == "local" and not self._ray.is_initialized()
        _connect(self._ray, address, (workers or 2) * threads)
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        count = workers or gpus or max(1, cores // threads)
        super().__init__(("cuda" if gpus else "cpu",) * count)
        self.threads = threads
        self._gpus = min(1.0, gpus / count)
        self._kept: dict[str, Any] = {}

    def run(self, vlm: VLM, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[int, Any]]:
        """See `Workers.run`."""
        try:
            yield from super().run(vlm, task, shards)
        finally:
            self._kept.clear()  # Ray frees objects without references

    def _start(self, vlm: VLM, model: Model, device: str) -> Any:
        options = {"num_cpus": self.threads, "num_gpus": self._gpus, "max_restarts": 0}
        actor = self._ray.remote(**options)(_Actor).remote(model, device, self.threads)
        return [actor, actor.ready.remote()]

    def _send(self, member: Member, task: Task, shard: Shard, around: Around) -> None:
        shared = [self._put(one.key, one.make) for one in shard.shared]
        try:
            member.handle[1] = member.handle[0].call.remote(task, shard.args, around, *shared)
        except (pickle.PicklingError, TypeError) as error:
            raise HeadAtlasError(f"this work cannot be sent to a cluster: {error}") from error

    def _put(self, key: str, make: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = self._ray.put(make())
        return self._kept[key]

    def _wait(self, members: list[Member]) -> list[tuple[Member, Reply | Lost]]:
        by_ref = {member.handle[1]: member for member in members}
        done, _ = self._ray.wait(list(by_ref), num_returns=1)
        found: list[tuple[Member, Reply | Lost]] = []
        for ref in done:
            try:
                found.append((by_ref[ref], self._ray.get(ref)))
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError) as error:
                found.append((by_ref[ref], Lost(str(error).strip().splitlines()[0])))
        return found

    def _stop(self, member: Member) -> None:
        self._ray.kill(member.handle[0])

    def close(self) -> None:
        """End all workers, and the cluster if it was started here."""
        super().close()
        self._kept.clear()
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()
            self._own = False


class _Actor:
    """A worker: loads the model at the start, then answers calls."""

    def __init__(self, model: Model, device: str, threads: int) -> None:
        self._vlm, self._ready = started(model, device, threads)

    def ready(self) -> Reply:
        return self._ready

    def call(self, task: Task, args: tuple[Any, ...], around: Around, *shared: Any) -> Reply:
        assert self._vlm is not None
        return answer(self._vlm, task, (*shared, *args), around)


def _ray(only_here: bool) -> Any:
    if only_here:
        os.environ.setdefault(_ONLY_HERE, "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise HeadAtlasError("Ray is not installed: `pip install 'headatlas[ray]'`") from None
    return ray


def _check_reachable(address: str) -> None:
    """Raise unless something listens at `host:port`: Ray itself tries for minutes, and then ends the process.

    Raises:
        HeadAtlasError: no connection, or no address of that form.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise HeadAtlasError(
            f"no Ray cluster at {address!r}: the address must be auto, local or host:port of a head node; {reason}"
        ) from error


def _connect(ray: Any, address: str, cores: int) -> None:
    if ray.is_initialized():
        return
    if address not in ("local", "auto"):
        _check_reachable(address)
    try:
        with _handlers_kept():
            if address == "local":
                ray.init(address="local", num_cpus=cores, **LOCAL)
            else:
                ray.init(address=address, logging_level="error")
    except Exception as error:  # Ray raises many kinds, some bare `Exception`
        reason = " ".join(str(error).split())[:200]
        raise HeadAtlasError(
            f"no Ray cluster at {address!r}: the address must be auto, local or host:port of a head node; {reason}"
        ) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put the program's SIGTERM handler back afterwards: `ray.init` sets one of its own, which ends the process at once.

    Ray's processes end when the program's connection to them does, so its handler is not needed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # None: a handler that Python did not set, which it cannot put back
            signal.signal(signal.SIGTERM, before)
