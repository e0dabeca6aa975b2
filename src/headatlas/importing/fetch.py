"""Get the images of questions from folders, tables or the web, several at a time.

A missing or broken image is reported in one line and does not stop an import.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from headatlas.importing.download import Downloads, NotHad
from headatlas.importing.draft import Picture
from headatlas.pictures import SUFFIXES, fault_of_image, fault_of_name, inside, judge, read_image


@dataclass(frozen=True)
class Found:
    """An image that can be used."""

    digest: str
    """Digest of its size and upright pixels, which is the same for the same picture under two names or in two files."""
    read: Callable[[], bytes]


class Missing(str):
    """The reason why an image is not there, returned in its place."""


class Pictures:
    """Finds pictures in folders, or downloads them.

    Args:
        roots: folders to search, in this order.
        downloads: None if nothing may be downloaded.
        workers: number of pictures read or downloaded in parallel.
    """

    def __init__(self, roots: Sequence[Path], downloads: Downloads | None, workers: int = 8):
        self._roots, self._downloads, self._workers = [root.resolve() for root in roots], downloads, workers
        self._known: dict[Picture, Found | Missing] = {}

    def get(self, pictures: Sequence[Picture]) -> dict[Picture, Found | Missing]:
        """Yield each picture, `Found` or `Missing`. A picture is looked up once."""
        new = [picture for picture in dict.fromkeys(pictures) if picture not in self._known]
        inner = [picture for picture in new if picture.read]  # tables are read in order, by one thread
        self._known.update((picture, self._find(picture)) for picture in inner)
        outer = [picture for picture in new if not picture.read]
        if outer:
            pool = ThreadPoolExecutor(self._workers)
            try:
                self._known.update(zip(outer, pool.map(self._find, outer), strict=True))
            finally:
                pool.shutdown(cancel_futures=True)  # after Ctrl-C, wait for eight images only
        return {picture: self._known[picture] for picture in pictures}

    def _find(self, picture: Picture) -> Found | Missing:
        if picture.read:
            return _judge(picture.read, picture.name)
        fault = fault_of_name(picture.name)
        if fault:
            return Missing(fault)
        path = self._local(picture.name)
        if isinstance(path, Missing):
            return path
        if path is not None:
            return _judge(partial(read_image, path), picture.name)
        if not picture.url:
            return Missing(f"no file {picture.name!r} under {', '.join(map(str, self._roots))}")
        if self._downloads is None:
            return Missing(f"no file {picture.name!r} under {', '.join(map(str, self._roots))}, and downloads are off")
        try:
            return _judge(partial(read_image, self._downloads.image(picture.url, fault_of_image)), picture.name)
        except NotHad as error:
            return Missing(f"{picture.url}: {error}")

    def _local(self, name: str) -> Path | Missing | None:
        """The file that a name means: the name itself under a root, without some of its first folders, or its last part alone.

        A name without a suffix also means the picture of that name with any suffix.
        """
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "."]
        for root in self._roots:
            for start in range(len(parts)):
                if path := inside(root, "/".join(parts[start:])):
                    return path
        last = parts[-1].lower() if parts else ""
        candidates = self._by_name.get(last) or self._by_name.get(f"{last}.*", [])
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        scored = sorted(((_common(path, parts), path) for path in candidates), reverse=True)
        if scored[0][0] > scored[1][0]:
            return scored[0][1]
        return Missing(
            f"{len(candidates)} files are called {parts[-1]!r}; there must be one, or the record must name its folder"
        )

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, dict[Path, None]] = defaultdict(dict)
        for root in self._roots:
            for path in root.rglob("*"):
                if path.suffix.lower() in SUFFIXES and inside(root, str(path.relative_to(root))):
                    found[path.name.lower()][path.resolve()] = None
                    found[f"{path.stem.lower()}.*"][path.resolve()] = None
        return {name: list(paths) for name, paths in found.items()}


def _common(path: Path, parts: Sequence[str]) -> int:
    """Number of trailing parts that a path and a name have in common."""
    count = 0
    for a, b in zip(reversed(path.parts), reversed(parts), strict=False):
        if a != b:
            break
        count += 1
    return count


def _judge(read: Callable[[], bytes], name: str) -> Found | Missing:
    try:
        data = read()
    except Exception as error:  # an error of the disk, or of the table that holds the picture
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        return Missing(f"{name}: cannot be read ({reason})")
    fault, digest = judge(data)
    return Missing(f"{name}: {fault}") if fault else Found(digest, read)
