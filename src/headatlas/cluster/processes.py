"""One worker process for each device of this machine, with torch's multiprocessing (spawn) over pipes.

Messages are pickled, as in any multiprocessing; they are exchanged only with child processes, never read from a file. They are
pickled here and not by `Connection.send`, because torch would then share memory that is lost with a killed worker. The driver's
own model serves its GPU from a thread, so that no GPU holds the model twice.
"""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.multiprocessing as mp

from headatlas.cluster.base import BACKENDS, Shard, Task
from headatlas.cluster.pool import Lost, Member, Pool
from headatlas.cluster.worker import Around, Model, Reply, answer, started
from headatlas.errors import HeadAtlasError
from headatlas.vlm.model import VLM


@BACKENDS.register("processes")
class Processes(Pool):
    """Workers on devices of this machine.

    Args:
        devices: such as `["cuda:0", "cuda:1"]`, or `["cpu", "cpu"]`.
        threads: CPU threads of each worker; by default this process's, divided among the workers. On a CPU, results are
            bit for bit those of one process only with the same number of threads.

    Raises:
        HeadAtlasError: no device, an unknown one, or a GPU given twice.
    """

    def __init__(self, devices: Sequence[str], threads: int | None = None) -> None:
        super().__init__(tuple(map(_checked, devices)))
        if not devices:
            raise HeadAtlasError("devices must name at least one, such as cuda:0,cuda:1; got none")
        gpus = [device for device in self.devices if device != "cpu"]
        if len(set(gpus)) != len(gpus):
            raise HeadAtlasError(f"devices must name every GPU once, got {', '.join(devices)}")
        self.threads = threads or max(1, torch.get_num_threads() // len(devices))

    def _start(self, vlm: VLM, model: Model, device: str) -> Any:
        ours, theirs = mp.get_context("spawn").Pipe()
        if device != "cpu" and torch.device(device) == vlm.device:
            here = threading.Thread(target=_serve_here, args=(theirs, vlm, model), daemon=True)
            here.start()
            return here, ours
        child = mp.get_context("spawn").Process(
            target=_serve, args=(theirs, model, device, self.threads), name=f"headatlas-{device}", daemon=True
        )
        child.start()
        theirs.close()
        return child, ours

    def _send(self, member: Member, task: Task, shard: Shard, around: Around) -> None:
        args = (*(one.make() for one in shard.shared), *shard.args)
        if isinstance(member.handle[0], threading.Thread):
            around = ()  # they are active on the driver's own model already
        try:
            call = pickle.dumps((task, args, around), protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise HeadAtlasError(
                f"this work cannot be sent to another process: its functions and classes must be at the top of a module ({error})"
            ) from error
        with suppress(OSError):  # the worker has ended: the next wait finds its pipe closed
            member.handle[1].send_bytes(call)

    def _wait(self, members: list[Member]) -> list[tuple[Member, Reply | Lost]]:
        by_pipe = {member.handle[1]: member for member in members}
        found: list[tuple[Member, Reply | Lost]] = []
        for pipe in wait(list(by_pipe)):
            assert isinstance(pipe, Connection)
            member = by_pipe[pipe]
            try:
                found.append((member, pickle.loads(pipe.recv_bytes())))
            except (EOFError, OSError):
                found.append((member, Lost(_ending(member.handle[0]))))
        return found

    def _stop(self, member: Member) -> None:
        worker, pipe = member.handle
        pipe.close()
        if isinstance(worker, threading.Thread):
            worker.join()
            return
        worker.kill()  # files are written in one step, so a kill leaves nothing half done
        worker.join()
        worker.close()


def _checked(device: str) -> str:
    try:
        found = torch.device(device)
    except RuntimeError:
        raise HeadAtlasError(f"device must be cpu, cuda:0, cuda:1, ...; got {device!r}") from None
    if found.type == "cuda":
        count = torch.cuda.device_count()
        index = found.index or 0
        if index >= count:
            raise HeadAtlasError(f"no device {device!r}: this machine has {count} CUDA devices")
        return f"cuda:{index}"
    return str(found)


def _ending(worker: Any) -> str:
    worker.join(10)
    code = getattr(worker, "exitcode", None)
    if code is None:
        return "its pipe closed"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _serve(pipe: Connection, model: Model, device: str, threads: int) -> None:
    """A worker process: load the model, then answer calls until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    vlm, ready = started(model, device, threads)
    pipe.send_bytes(pickle.dumps(ready))
    if vlm is not None:
        _answer_all(pipe, vlm)


def _serve_here(pipe: Connection, vlm: VLM, model: Model) -> None:
    pipe.send_bytes(pickle.dumps(Reply((0, "here"))))
    _answer_all(pipe, vlm)


def _answer_all(pipe: Connection, vlm: VLM) -> None:
    while True:
        try:
            task, args, around = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return  # the driver has finished or ended
        reply = answer(vlm, task, args, around)
        try:
            pipe.send_bytes(pickle.dumps(reply, protocol=pickle.HIGHEST_PROTOCOL))
        except OSError:
            return
