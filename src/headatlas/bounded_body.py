"""Decode the body of an HTTP response into a bounded number of bytes.

httpx decodes each piece that arrives as a whole, and every encoding that a server names: one piece of data compressed twice
becomes gigabytes.
"""

from __future__ import annotations

import zlib

ACCEPTED = "gzip, deflate"
"""The value of `accept-encoding` to send."""


class BodyError(Exception):
    """The body cannot be decoded; `str(error)` says why."""


class BodyDecoder:
    """Decodes a body piece by piece.

    Args:
        encoding: value of the response's `content-encoding`: "", "identity", "gzip", "x-gzip" or "deflate".
        most: the largest number of bytes to decode. Longer bodies are cut there, and `too_large` is set.

    Raises:
        BodyError: another encoding, or more than one.
    """

    def __init__(self, encoding: str, most: int):
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BodyError(f"its content-encoding must be one of {ACCEPTED}, got {encoding[:60]!r}")
        self.size = 0
        """Bytes decoded so far."""
        self.too_large = False
        self._most = most
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32) if name not in ("", "identity") else None  # gzip or zlib
        self._may_be_raw = name == "deflate"

    def add(self, piece: bytes) -> bytes:
        """Decode the next piece as received.

        Raises:
            BodyError: it is not in the encoding that the response names.
        """
        left = self._most - self.size + 1  # one more than allowed, to tell a full body from a larger one
        out = piece[:left] if self._zlib is None else self._inflate(piece, left)
        self.too_large = self.too_large or len(out) == left
        out = out[: left - 1]
        self.size += len(out)
        return out

    def end(self) -> None:
        """Call when no more pieces follow.

        Raises:
            BodyError: the compressed data are not complete.
        """
        if self._zlib is not None and not self._zlib.eof and not self.too_large:
            raise BodyError("its compressed data end too early")

    def _inflate(self, piece: bytes, most: int) -> bytes:
        assert self._zlib is not None
        try:
            out = self._zlib.decompress(piece, most)
        except zlib.error as error:
            if not self._may_be_raw:
                raise BodyError(f"its compressed data are damaged ({error})") from error
            # Some servers send deflate without the header of zlib.
            self._zlib, self._may_be_raw = zlib.decompressobj(-zlib.MAX_WBITS), False
            return self._inflate(piece, most)
        self._may_be_raw = False
        return out
