"""Open what an importer reads (a folder, a file, a URL or a Hugging Face dataset) as a folder.

Downloads go to one cache; their SHA-256 is checked whenever they are used again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.importing.download import Downloads
from headatlas.pictures import SUFFIXES

TABLES = (".jsonl", ".json", ".tsv", ".csv", ".parquet")


def cache_folder() -> Path:
    """The folder for downloads: `$HEADATLAS_CACHE` (`~` is the home folder), else `~/.cache/headatlas`."""
    return Path(os.path.expanduser(os.environ.get("HEADATLAS_CACHE") or "~/.cache/headatlas"))


@dataclass(frozen=True)
class Origin:
    """A folder to read from."""

    root: Path
    file: Path | None = None
    """The only file to read, if the user named a file."""
    seed: int = 0
    """Seed for importers that sample questions."""

    def files(self, *patterns: str) -> list[Path]:
        """The regular files in the folder that match a pattern, sorted by pattern, then by name; only `file` if it is set.

        Raises:
            HeadAtlasError: a matching file is a link that leads out of the folder.
        """
        if self.file is not None:
            return [self.file]
        found: dict[Path, None] = {}
        for pattern in patterns:
            matching = (p for p in self.root.rglob(pattern) if p.is_file() and not _hidden(p, self.root))
            found.update(dict.fromkeys(sorted(matching, key=lambda p: _natural(str(p)))))
        root = self.root.resolve()
        for path in found:
            if not path.resolve().is_relative_to(root):
                raise HeadAtlasError(
                    f"{path} must not be a link that leads out of {self.root}; put the file itself there"
                )
        return list(found)

    def prefer(self, *patterns: str) -> tuple[str, ...]:
        """The first pattern that a file matches, for sets that exist in several formats; all patterns if none matches."""
        return next(((pattern,) for pattern in patterns if self.files(pattern)), patterns)

    def need(self, *patterns: str) -> list[Path]:
        """As `files`, but raises `HeadAtlasError` if there is none."""
        found = self.files(*patterns)
        if not found:
            names = sorted(p.name for p in self.root.iterdir())[:6] if self.root.is_dir() else []
            raise HeadAtlasError(
                f"{self.root}: must hold {' or '.join(patterns)}, but holds {', '.join(names) or 'nothing'}"
            )
        return found


def open_origin(
    source: str | Path, cache: Path | None = None, patterns: Sequence[str] = (), sha256: str = "", seed: int = 0
) -> Origin:
    """Open a path, the URL (http, https) of one table, or a Hugging Face dataset id (`owner/name`, `owner/name@revision`).

    Args:
        source: what the user named. If it exists as a path, it is a path.
        cache: folder for downloads; `cache_folder()` if None.
        patterns: files to take from the hub; tables and images if empty.
        sha256: SHA-256 in hex that the file of a URL must have; "" for no check.
        seed: for importers that sample questions.

    Raises:
        HeadAtlasError: there is nothing at `source`, or it cannot be read or downloaded.
    """
    text = str(source)
    path = Path(text).expanduser()
    if _exists(path):
        if path.is_dir():
            return Origin(path, seed=seed)
        return Origin(path.parent, regular(path), seed)
    if re.match(r"https?://", text):
        suffix = Path(re.split(r"[?#]", text)[0]).suffix.lower()
        if suffix not in TABLES:
            raise HeadAtlasError(
                f"{text}: must be the URL of a table ({', '.join(TABLES)}), got {suffix or 'no suffix'}"
            )
        with Downloads(cache or cache_folder()) as downloads:
            file = downloads.table(text, suffix, sha256)
        return Origin(file.parent, file, seed)
    if match := re.fullmatch(r"([\w-][\w.-]*/[\w.-]+?)(?:@([\w./-]+))?", text):
        return Origin(_snapshot(match[1], match[2], patterns, cache or cache_folder()), seed=seed)
    raise HeadAtlasError(f"{text}: no such file or folder, no http(s) URL and no Hugging Face dataset id (owner/name)")


def regular(path: Path) -> Path:
    """Return `path` if it is a regular file; opening a pipe or a device might never return.

    Raises:
        HeadAtlasError: it is not a regular file, or it does not exist.
    """
    if not path.is_file():
        raise HeadAtlasError(f"{path}: {'is no regular file' if path.exists() else 'there is no such file'}")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False


def _snapshot(name: str, revision: str | None, patterns: Sequence[str], cache: Path) -> Path:
    import huggingface_hub

    # Not the cache of the hub's client, which consists of links that lead out of the snapshot.
    place = cache / "hub" / "--".join([*name.split("/"), *([revision.replace("/", "--")] if revision else [])])

    wanted = list(patterns) or [f"*{suffix}" for suffix in (*TABLES, *SUFFIXES, ".txt", ".npy")]
    try:
        folder = huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=wanted, local_dir=place
        )
    except Exception as error:  # the hub's client raises many kinds of errors; all mean the same to the user
        raise HeadAtlasError(
            f"no such path, and the Hugging Face dataset {name!r} could not be downloaded "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"
        ) from error
    return Path(folder)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _natural(text: str) -> list[str | int]:
    """Sorts `2.txt` before `10.txt`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
