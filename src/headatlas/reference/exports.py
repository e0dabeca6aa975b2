"""Copy a shipped model out of HeadAtlas: a folder that transformers loads without it."""

from __future__ import annotations

import shutil
from pathlib import Path

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.reference.made_once import RECORD
from headatlas.storage import replacing


def export(name: str, out: Path) -> Path:
    """Write a model with its card as an ordinary model folder of transformers, and return the folder.

    Args:
        name: of a shipped model or world, or a folder that `headatlas reference train` wrote.
        out: folder to write; must not exist, or be empty.

    Raises:
        HeadAtlasError: no such model; `out` is not empty or not a folder; the base of a model that ships in parts is missing.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HeadAtlasError(f"{str(out)!r} must not exist or must be an empty folder; name another one")
    own = Path(name) if Path(name).is_dir() else shipped.own_folder(name)
    complete = shipped.complete(own)
    with replacing(out, "the model") as new:
        shutil.copytree(complete, new, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RECORD))
        if complete != own:
            for card in ("README.md", "figures.csv"):
                if (own / card).is_file():
                    shutil.copy(own / card, new / card)
    return out
