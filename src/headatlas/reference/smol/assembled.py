"""The complete model folder of a model that ships in parts, made once in the cache and used from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import filelock

from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import cache_folder
from headatlas.reference.smol import base
from headatlas.shipped import ASSEMBLERS
from headatlas.storage import file_digest, file_lock, replacing, write_error

FORMAT = 1
"""Increase it whenever `assemble` makes another folder of the same parts and base."""

PARTS = ("parts.json", "parts.safetensors")

RECORD = "assembled.json"
"""Names and sizes (bytes) of the folder's files: a folder from which files were removed is made again."""


@ASSEMBLERS.register("smol")
def assembled(parts: Path) -> Path:
    """Return the complete model folder of `parts`, `$HEADATLAS_CACHE/ref-smol/<digest>/`.

    The first call makes it from the parts and SmolLM2; other processes that call it at the same time wait. Other parts get
    another folder.

    Args:
        parts: a folder with `parts.json` and `parts.safetensors`.

    Raises:
        HeadAtlasError: a file of the parts is missing; SmolLM2 is not in the cache (the message names the command that fetches
            it) or the package gguf is missing; the folder cannot be written.
    """
    folder = cache_folder() / "ref-smol" / parts_digest(parts)
    if not is_complete(folder):
        base.base_file()  # before anything is made
    return made_once(folder, lambda new: assemble(parts, new))


def assemble(parts: Path, out: Path) -> None:
    """Write the model folder of `transformers` (float16 weights) that the parts in a folder and the base make together.

    Raises:
        HeadAtlasError: the base is not in the cache, or the parts belong to another base or another architecture.
    """
    from headatlas.reference.build import save
    from headatlas.reference.families import family_named
    from headatlas.reference.smol.model import RANK, SCALE, load_trained, merge_updates, read_parts

    facts = json.loads((parts / "parts.json").read_text())
    wanted = {"base_sha256": base.SHA256, "rank": RANK, "scale": SCALE}
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise HeadAtlasError(f"{parts / 'parts.json'}: {name} must be {value!r}, got {facts.get(name)!r}")
    family = family_named("smol")
    tokenizer = family.tokenizer()
    model = family.model(tokenizer, family.shape, 0)
    load_trained(model, read_parts(parts))
    merge_updates(model)
    save(model, family.processor(tokenizer, family.shape), out)


def parts_digest(parts: Path) -> str:
    """Return 16 hex digits that identify the parts, the base and how they are assembled.

    Raises:
        HeadAtlasError: a file of the parts is missing.
    """
    digest = hashlib.sha256(f"{FORMAT} {base.SHA256}".encode())
    for name in PARTS:
        if not (parts / name).is_file():
            raise HeadAtlasError(f"folder {str(parts)!r} must hold {' and '.join(PARTS)}, but {name} is missing")
        digest.update(f" {name} {file_digest(parts / name)}".encode())
    return digest.hexdigest()[:16]


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds all files that `made_once` recorded, of the sizes that they had."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record == _sizes(folder)
    except (OSError, ValueError):
        return False


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, which `make` has filled once; of several processes one makes it and the others wait.

    Args:
        folder: appears in one step, when `make` has returned; what is missing of its parents is made.
        make: fills the empty folder that it is given. If it raises, `folder` does not appear and the next call tries again.

    Raises:
        HeadAtlasError: the folder cannot be written.
    """
    if is_complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = file_lock(folder.with_name(f".{folder.name}.wait"), timeout=-1)
    except (OSError, filelock.Timeout) as error:
        raise write_error(folder, error) from error
    try:
        if not is_complete(folder):  # another process may have made it in the meantime
            with replacing(folder, "the model") as new:
                make(new)
                (new / RECORD).write_text(json.dumps(_sizes(new)), encoding="utf-8")
    finally:
        lock.release()
    return folder


def _sizes(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != RECORD)
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(files)}
