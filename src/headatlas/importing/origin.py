"""Where an importer reads: a folder or file on disk, a URL, or a dataset of the Hugging Face hub, all seen as a folder.

Knows downloads of tables and the layout of folders; `records.py` reads what is in them. Everything downloaded goes to one
cache, checked by its SHA-256 when it is used again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headatlas.cogvsr.pictures import SUFFIXES
from headatlas.errors import HeadAtlasError
from headatlas.importing.download import Downloads

TABLES = (".jsonl", ".json", ".tsv", ".csv", ".parquet")


def cache_folder() -> Path:
    """Where downloads are kept: `$HEADATLAS_CACHE`, else `~/.cache/headatlas`."""
    return Path(os.environ.get("HEADATLAS_CACHE") or Path.home() / ".cache" / "headatlas")


@dataclass(frozen=True)
class Origin:
    """A folder to read from; `file` is set if one file was named and no other is meant. `seed` is for importers that draw."""

    root: Path
    file: Path | None = None
    seed: int = 0

    def files(self, *patterns: str) -> list[Path]:
        """The files below the folder that match any pattern, in the order of patterns, then of names; a named file alone."""
        if self.file is not None:
            return [self.file]
        found: dict[Path, None] = {}
        for pattern in patterns:
            matching = (p for p in self.root.rglob(pattern) if p.is_file() and not _hidden(p, self.root))
            found.update(dict.fromkeys(sorted(matching, key=lambda p: _natural(str(p)))))
        return list(found)

    def prefer(self, *patterns: str) -> tuple[str, ...]:
        """The first pattern that a file matches, for sets that come in several formats side by side; all if none does."""
        return next(((pattern,) for pattern in patterns if self.files(pattern)), patterns)

    def need(self, *patterns: str) -> list[Path]:
        """As `files`, but finding none raises `HeadAtlasError`."""
        found = self.files(*patterns)
        if not found:
            there = sorted(p.name for p in self.root.iterdir())[:6] if self.root.is_dir() else []
            raise HeadAtlasError(
                f"{self.root}: expected {' or '.join(patterns)}, found none; there is {', '.join(there) or 'nothing'}"
            )
        return found


def open_origin(
    source: str | Path, cache: Path | None = None, patterns: Sequence[str] = (), sha256: str = "", seed: int = 0
) -> Origin:
    """Open a path, a URL (http, https) of one table, or a Hugging Face dataset id (`owner/name`, `owner/name@revision`).

    Args:
        source: what the user named. A path that exists is a path, whatever else it could be.
        cache: where downloads go; `cache_folder()` if None.
        patterns: files to take from a hub; tables and images if empty.
        sha256: what a URL's file must have, in hex; empty for no check.
        seed: handed to the importer.

    Raises:
        HeadAtlasError: nothing there, or it cannot be had.
    """
    text = str(source)
    path = Path(text).expanduser()
    if path.exists():
        return Origin(path, seed=seed) if path.is_dir() else Origin(path.parent, path, seed)
    if re.match(r"https?://", text):
        suffix = Path(re.split(r"[?#]", text)[0]).suffix.lower()
        if suffix not in TABLES:
            raise HeadAtlasError(
                f"{text}: expected the URL of a table ({', '.join(TABLES)}), came {suffix or 'no suffix'}"
            )
        with Downloads(cache or cache_folder()) as downloads:
            file = downloads.table(text, suffix, sha256)
        return Origin(file.parent, file, seed)
    if match := re.fullmatch(r"([\w-][\w.-]*/[\w.-]+?)(?:@([\w./-]+))?", text):
        return Origin(_snapshot(match[1], match[2], patterns, cache or cache_folder()), seed=seed)
    raise HeadAtlasError(f"{text}: no such file or folder, no http(s) URL and no Hugging Face dataset id (owner/name)")


def _snapshot(name: str, revision: str | None, patterns: Sequence[str], cache: Path) -> Path:
    import huggingface_hub

    # A folder of its own: the hub's own cache is made of links that lead out of the snapshot, and those are not followed.
    place = cache / "hub" / "--".join([*name.split("/"), *([revision.replace("/", "--")] if revision else [])])

    wanted = list(patterns) or [f"*{suffix}" for suffix in (*TABLES, *SUFFIXES, ".txt", ".npy")]
    try:
        folder = huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=wanted, local_dir=place
        )
    except Exception as error:  # the hub client has a dozen kinds of failure; all mean the same to the user
        raise HeadAtlasError(
            f"no such path, and no Hugging Face dataset {name!r} could be had "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"
        ) from error
    return Path(folder)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _natural(text: str) -> list[str | int]:
    """Sorts `2.txt` before `10.txt`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]
