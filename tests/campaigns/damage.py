"""Damage to files, drawn at random: to their bytes, and to the values in their JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, 0, 1, -1, 3, 7, 10**9, 10**30, 0.5, -2.5, 1e308, float("nan"), float("inf"), True, False, "", "x", "3", "\x1b[31m",
    "\ud800", "../../x", "y" * 5000, [], {}, [[]], [None], [1, 2], {"a": 1}, ["a"], -(2**63) - 1,
)  # fmt: skip


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """The bytes of a file (not an empty one) after an accident; of a Parquet file, its footer is hit more often."""
    changed = bytearray(data)
    footer = (
        len(data) - 8 - int.from_bytes(data[-8:-4], "little") if data.endswith(b"PAR1") else max(len(data) - 200, 0)
    )
    at = rng.randrange(len(data))
    how = rng.choice(
        ("cut", "bit", "bits", "footer", "footer", "zeros", "more", "moved", "head", "tail", "text", "twice")
    )
    if how == "cut":
        del changed[at:]
    elif how == "bit":
        changed[at] ^= 1 << rng.randrange(8)
    elif how == "bits":
        for _ in range(rng.choice((2, 20, 200))):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "footer":
        for _ in range(rng.choice((1, 1, 4))):
            changed[rng.randrange(footer, len(data))] = rng.randrange(256)
    elif how == "zeros":
        changed[at : at + 500] = bytes(len(changed[at : at + 500]))
    elif how == "more":
        changed[at:at] = rng.randbytes(rng.choice((1, 7, 4096)))
    elif how == "moved":
        to = rng.randrange(len(data))
        changed[to : to + 64] = data[at : at + 64]
    elif how == "head":
        del changed[: rng.choice((1, 4, 100))]
    elif how == "tail":
        changed += rng.randbytes(rng.choice((1, 8, 64)))
    elif how == "text":  # as a transfer in text mode changes line ends
        changed = bytearray(data.replace(b"\n", b"\r\n"))
    else:
        changed += data
    return bytes(changed)


def json_changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one thing in it changed, removed, added or renamed."""
    value = copy.deepcopy(value)
    place, where = value, []
    while isinstance(place, (dict, list)) and place:
        key: Any = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        where.append((place, key))
        if rng.random() < 0.3:
            break
        place = place[key]
    if not where:
        return copy.deepcopy(rng.choice(ODD))
    place, key = where[-1]
    how = rng.random()
    if how < 0.15:
        del place[key]
    elif how < 0.25 and isinstance(place, dict):
        place[typo(str(key), rng)] = place.pop(key)
    elif how < 0.35 and isinstance(place[key], (int, float)) and not isinstance(place[key], bool):
        place[key] = place[key] + rng.choice((1, -1)) if isinstance(place[key], int) else place[key] * 2
    else:
        place[key] = copy.deepcopy(rng.choice(ODD))
    return value


def json_bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """The text of a JSON file after `json_changed`."""
    return json.dumps(json_changed(json.loads(data), rng)).encode()


def typo(word: str, rng: random.Random) -> str:
    """The word with two letters exchanged, one lost, doubled or replaced; never the word itself."""
    while True:
        at = rng.randrange(len(word))
        how = rng.randrange(4)
        made = (
            word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
        )[how]
        if made != word and made:
            return made
