"""Remove an API key, or parts of it, from text, in the forms in which servers repeat it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

PLACEHOLDER = "[key]"

_SHORTEST = 8  # characters; a shorter part of a key reveals nothing
_GRAMS = 32  # places of the key that are searched for
_LONGEST_MESSAGE = 20_000  # characters of a server's message that are read
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\(.)")


class Redactor:
    """Replaces an API key in text by `[key]`.

    Every run of characters that is a part of the key is replaced if it has at least 8 characters and begins or ends as the
    key does, or has at least 11 (a little more for keys of more than 128 characters). Percent, HTML, JSON, hexadecimal and
    base64 encodings of the key are replaced too, in upper or lower case.

    Args:
        key: the API key, ASCII; "" if there is none. A key of fewer than 8 characters, such as "none", is a placeholder rather
            than a secret: it is replaced in messages where it stands as a word, and kept in replies.
    """

    def __init__(self, key: str):
        self._key = key
        self._forms = [form.lower() for form in _forms(key)] if len(key) >= _SHORTEST else []

    def __call__(self, text: str) -> str:
        """`text` without the key; otherwise unchanged."""
        spans = sorted(span for form in self._forms for span in _parts(_lower(text), form))
        pieces, end = [], 0
        for start, stop in spans:
            if start >= end:
                pieces += [text[end:start], PLACEHOLDER]
            end = max(end, stop)
        return "".join([*pieces, text[end:]])

    def message(self, text: str, most: int = 300) -> str:
        """`text` without the key as one printable line of at most `most` characters. Escaped characters are decoded where
        they spell the key."""
        # The key goes first, then the line is cut: the beginning of a key must not survive at the end of the line.
        text = self(text[:_LONGEST_MESSAGE])
        for decode in (unquote, html.unescape, _unescape):
            without = self(decoded := decode(text))
            text = text if without == decoded else without
        if 0 < len(self._key) < _SHORTEST:
            text = re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", PLACEHOLDER, text)
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]


def _forms(key: str) -> set[str]:
    raw, quoted = key.encode(), json.dumps(key)[1:-1]
    forms = {key, quote(key, safe=""), quote_plus(key), html.escape(key), quoted, quoted.replace("/", r"\/"), raw.hex()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # bytes before the key, modulo 3, as in "user:key"
            encoded = encode(b"\0" * before + raw).decode()
            # Six bits a character: those that the key alone decides.
            forms.add(encoded[-(-8 * before // 6) : 8 * (before + len(raw)) // 6])
    return forms


def _parts(text: str, form: str) -> Iterator[tuple[int, int]]:
    """Where parts of `form` stand in `text`: (start, stop)."""
    last = len(form) - _SHORTEST
    for place in {*range(0, last, max(4, len(form) // _GRAMS)), last}:
        gram = form[place : place + _SHORTEST]
        found = text.find(gram)
        while found >= 0:
            start, stop, first, end = found, found + _SHORTEST, place, place + _SHORTEST
            while start > 0 and first > 0 and text[start - 1] == form[first - 1]:
                start, first = start - 1, first - 1
            while stop < len(text) and end < len(form) and text[stop] == form[end]:
                stop, end = stop + 1, end + 1
            yield start, stop
            found = text.find(gram, stop)


def _lower(text: str) -> str:
    """ASCII letters in lower case; the length stays, which `str.lower` does not promise."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda m: m[3] or chr(int(m[1] or m[2], 16)), text)
