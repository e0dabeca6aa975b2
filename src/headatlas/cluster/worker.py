"""The worker's side: load the model by its name and answer calls one by one.

Weights are not sent. A worker loads them from the same place as the driver, and compares the model's identity.
"""

from __future__ import annotations

import os
import platform
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from headatlas.cluster.base import Task
from headatlas.errors import HeadAtlasError
from headatlas.storage import difference
from headatlas.vlm.load import load_vlm
from headatlas.vlm.model import VLM

Around = tuple[tuple[tuple[Any, ...], str], ...]
"""Edits that are active around a call, outermost first: (edits, scope)."""


@dataclass(frozen=True)
class Model:
    """How a worker loads the driver's model and checks that it is the same."""

    name: str
    dtype: str
    options: tuple[tuple[str, Any], ...]
    fingerprint: str
    identity: tuple[tuple[str, str], ...]
    headatlas: str

    @classmethod
    def of(cls, vlm: VLM) -> Model:
        """The model of a loaded VLM; a folder is given by its full path.

        Raises:
            HeadAtlasError: it is spread over devices, so that workers would have none of their own.
        """
        if vlm.loaded_with.get("device_map"):
            raise HeadAtlasError(
                "a model with a device_map must run without workers: it is spread over the devices already"
            )
        name = str(Path(vlm.name).resolve()) if Path(vlm.name).is_dir() else vlm.name
        options = tuple(sorted((key, value) for key, value in vlm.loaded_with.items() if key != "dtype"))
        identity = tuple(dict(getattr(vlm, "identity", {})).items())
        return cls(name, str(vlm.dtype).removeprefix("torch."), options, vlm.fingerprint, identity, own_version())

    def load(self, device: str) -> VLM:
        """Load the model on a device.

        Raises:
            HeadAtlasError: it cannot be loaded here, another model loads under its name, or another version of HeadAtlas is
                installed here.
        """
        if own_version() != self.headatlas:
            raise HeadAtlasError(
                f"HeadAtlas on {platform.node()} must be {self.headatlas} as on the driver, got {own_version()}"
            )
        vlm = load_vlm(self.name, device=device, dtype=self.dtype, **dict(self.options))
        if vlm.fingerprint != self.fingerprint:
            differs = difference(dict(self.identity), dict(getattr(vlm, "identity", {})))
            raise HeadAtlasError(
                f"what {platform.node()} loads as {self.name!r} has fingerprint {vlm.fingerprint}, the driver's model "
                f"{self.fingerprint}{f' ({differs})' if differs else ''}: workers load a model by its name, so it must not be "
                "changed after loading"
            )
        return vlm


@dataclass(frozen=True)
class Reply:
    """Reply of a worker: a value, a user's mistake as one line and its class, or a fault of the program with its traceback."""

    value: Any = None
    mistake: str = ""
    fault: str = ""
    kind: type[HeadAtlasError] = HeadAtlasError

    def get(self) -> Any:
        """The value; raises what the worker raised."""
        if self.mistake:
            raise self.kind(self.mistake)
        if self.fault:
            raise RuntimeError(f"a worker failed:\n{self.fault}")
        return self.value


def started(model: Model, device: str, threads: int | None) -> tuple[VLM | None, Reply]:
    """Load the model in a new worker process; the reply's value is its process id and machine."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return model.load(device), Reply((os.getpid(), platform.node()))
    except HeadAtlasError as error:
        return None, Reply(mistake=str(error))
    except Exception:
        return None, Reply(fault=traceback.format_exc())


def answer(vlm: VLM, task: Task, args: tuple[Any, ...], around: Around) -> Reply:
    """Run one call under the driver's edits."""
    try:
        with ExitStack() as edits:
            for some, scope in around:
                edits.enter_context(vlm.edit(*some, scope=scope))
            return Reply(task(vlm, *args))
    except HeadAtlasError as error:
        # An error with data of its own, such as rows of the shard, would mislead whoever sent the shard.
        plain = type(error).__init__ is HeadAtlasError.__init__
        return Reply(mistake=str(error), kind=type(error) if plain else HeadAtlasError)
    except Exception:
        return Reply(fault=traceback.format_exc())


def own_version() -> str:
    """The installed version of HeadAtlas."""
    try:
        return version("headatlas")
    except PackageNotFoundError:  # run from a source tree
        return "not installed"
