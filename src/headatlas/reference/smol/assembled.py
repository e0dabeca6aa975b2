"""The complete model folder of a model that ships in parts around SmolLM2."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import cache_folder
from headatlas.reference.made_once import is_complete, made_once
from headatlas.reference.smol import base
from headatlas.shipped import ASSEMBLERS
from headatlas.storage import file_digest

FORMAT = 1
"""Increase it whenever `assemble` makes another folder of the same parts and base."""

PARTS = ("parts.json", "parts.safetensors")


@ASSEMBLERS.register("parts.json")
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
