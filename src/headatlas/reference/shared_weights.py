"""Models that ship without the tensors that they share with another shipped model.

A planted world is a reference VLM whose language model alone was trained further: vision tower and projector are those of its
base, bit for bit. Its folder holds everything but these, and `shared_weights.json` says where they are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import cache_folder
from headatlas.reference.made_once import made_once
from headatlas.storage import file_digest, replacing

FORMAT = 1
"""Increase it whenever `assembled` makes another folder of the same files."""

SHARED = "shared_weights.json"
"""The name of the base, and 64 hex digits of its weights."""

OWN = "own.safetensors"
"""The tensors that are the model's own, by their names in the complete model."""

WEIGHTS = "model.safetensors"


def split(folder: Path, base: str, out: Path) -> Path:
    """Write a model folder without the tensors that it shares with a shipped model; what is left is still the same model.

    Args:
        folder: a complete model folder with one file of weights.
        base: name of the shipped model.
        out: new folder.

    Raises:
        HeadAtlasError: nothing is shared, or a folder cannot be read or written.
    """
    from safetensors.torch import load_file, save_file

    theirs = shipped.path(base) / WEIGHTS
    mine, others = load_file(folder / WEIGHTS), load_file(theirs)
    own = {name: tensor for name, tensor in mine.items() if not _same(tensor, others.get(name))}
    if len(own) == len(mine):
        raise HeadAtlasError(f"{str(folder)!r} shares no tensor with {base!r}: ship it whole")
    with replacing(out, "the model") as new:
        shutil.copytree(folder, new, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WEIGHTS))
        save_file(own, new / OWN, metadata={"format": "pt"})
        record = {"base": base, "base_weights": file_digest(theirs), "tensors": sorted(mine)}
        (new / SHARED).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return out


def base_name(folder: Path) -> str:
    """The shipped model with which the model in `folder` shares tensors; empty if it is whole.

    Raises:
        HeadAtlasError: `shared_weights.json` is damaged.
    """
    return _record(folder)["base"] if (folder / SHARED).is_file() else ""


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / SHARED).read_text(encoding="utf-8"))
        return {"base": str(record["base"]), "base_weights": record["base_weights"], "tensors": record["tensors"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeadAtlasError(f"{folder / SHARED} is damaged ({type(error).__name__}: {error})") from error


@shipped.ASSEMBLERS.register(SHARED)
def assembled(folder: Path) -> Path:
    """The complete model folder of `folder`, `$HEADATLAS_CACHE/shared/<digest>/`, made by the first call.

    Raises:
        HeadAtlasError: a file is missing or damaged; the base is not the model that the tensors were taken from; the cache cannot
            be written.
    """
    record = _record(folder)
    base, digest, tensors = record["base"], record["base_weights"], record["tensors"]
    theirs = shipped.path(base) / WEIGHTS
    if file_digest(theirs) != digest:
        raise HeadAtlasError(
            f"{folder / SHARED}: the weights of {base!r} are other ones than those it shares tensors with"
        )
    files = sorted(file for file in folder.iterdir() if file.is_file())
    key = hashlib.sha256(f"{FORMAT} {[(file.name, file_digest(file)) for file in files]}".encode()).hexdigest()[:16]

    def make(new: Path) -> None:
        from safetensors.torch import load_file, save_file

        there = load_file(theirs) | load_file(folder / OWN)
        if missing := [name for name in tensors if name not in there]:
            raise HeadAtlasError(f"{folder / OWN} is damaged: {missing[0]} is missing")
        for file in files:
            if file.name not in (SHARED, OWN):
                shutil.copy(file, new / file.name)
        save_file({name: there[name] for name in tensors}, new / WEIGHTS, metadata={"format": "pt"})

    return made_once(cache_folder() / "shared" / key, make)


def _same(one: object, other: object) -> bool:
    import torch

    return (
        isinstance(one, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and one.dtype == other.dtype
        and torch.equal(one, other)
    )
