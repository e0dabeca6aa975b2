"""Read JSON lines one at a time in bounded memory, and report what is wrong with lines that cannot be read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headatlas.storage import open_regular

LONGEST = 16 * 2**20
"""Most bytes of a line; a longer one is not read."""

DEEPEST = 50
"""Most objects and lists inside one another: a question needs five."""

_CHUNK = 2**20


class BadLine(str):
    """The reason why a line could not be read, returned in its place."""


def read_lines(path: Path, longest: int = LONGEST) -> Iterator[tuple[int, str | BadLine]]:
    """Yield (number from 1, line) of the lines that are not blank; a `BadLine` where one is too long or not UTF-8.

    Only `\\n` ends a line: other Unicode line ends may stand inside a JSON string. A byte order mark is dropped.

    Raises:
        OSError: the file cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        number = 0
        while data := file.readline(longest + 1):
            number += 1
            if len(data) > longest and not data.endswith(b"\n"):
                size = len(data)
                while (more := file.readline(_CHUNK)) and not more.endswith(b"\n"):
                    size += len(more)
                size += len(more.removesuffix(b"\n"))
                yield number, BadLine(f"{size:,} bytes long; a line must have at most {longest:,} bytes")
                continue
            try:
                line = data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                yield number, BadLine(f"not UTF-8 (byte {error.start + 1} is 0x{data[error.start]:02x})")
                continue
            if line:
                yield number, line


def decode(line: str) -> tuple[Any, list[str]]:
    """The JSON value of a line, and the keys that occur twice in one object.

    Raises:
        ValueError: the line is not JSON, or is nested too deeply; `str(error)` says what is wrong.
    """
    twice: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return made

    try:
        value = json.loads(line, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos + 1})") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read (nested too deeply)") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ValueError(f"not JSON that can be read ({str(error).split(';')[0]})") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [
            item
            for node in level
            if isinstance(node, (dict, list))
            for item in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return value, twice
    raise ValueError("not JSON that can be read (nested too deeply)")
