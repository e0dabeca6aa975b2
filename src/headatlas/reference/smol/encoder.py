"""Encode conversations for a tokenizer of word pieces: the same rows as `reference.tokens.Encoder` makes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from headatlas.reference.tokens import LIST_REQUEST, OTHER, THING_REQUEST, Encoder, Row

_PLAIN = ("row", "column", "facing")
"""Words that follow from the place in a listing and are left out there."""


class PieceEncoder(Encoder):
    """Works on words where `Encoder`, whose words are single tokens, works on tokens.

    A word that follows another is encoded with the space before it, which is how the tokenizer splits the whole text.
    """

    def things(self, caption: Row, order: Int64[np.ndarray, " things"]) -> Row:
        """The caption's things in the given order (0-based); in each turn one is asked for by name and described."""
        parts = [self._words(caption)[i] for i in order]
        return self._row(
            [
                (self._ids(f"{THING_REQUEST} {' '.join(part[2:4])} ."), self._ids(" ".join(part)), 1 + OTHER)
                for part in parts
            ]
        )

    def listing(self, caption: Row, order: Int64[np.ndarray, " things"]) -> Row:
        """The caption's things in one turn and in the given order (0-based), each by name and then its properties."""
        parts = self._words(caption)
        text: list[int] = []
        marks: list[int] = []
        for n, i in enumerate(order):
            part = parts[i]
            name = self._ids(("" if n == 0 else " ") + " ".join(part[2:4]))
            properties = self._ids("".join(f" {word}" for word in part[:2] + part[4:] if word not in _PLAIN))
            stop = self._ids(" .")
            text += [*name, *properties, *stop]
            marks += [0] * len(name) + [1 + OTHER] * len(properties) + [0] * len(stop)
        row = self._row([(self._ids(LIST_REQUEST), text, 0)])
        first = len(row.ids) - len(self._after) - 1 - len(text)
        row.marks[first : first + len(text)] = marks
        return row

    def plain(self, prompt: str, answer: list[int]) -> Row:
        """A conversation of one turn without picture; `answer` is what the base said, without its end."""
        row = self._row([(self._ids(prompt), answer, 1 + OTHER)])
        return self.without_image(row)

    def n_things(self, caption: Row) -> int:
        """The number of things in a caption."""
        return len(self._words(caption))

    def _words(self, caption: Row) -> list[list[str]]:
        """The words of each thing of a caption: size, texture, colour, class, row, column and so on."""
        text = str(self._tokenizer.decode(caption.ids[caption.marks > 0][:-1]))
        return [part.split() for part in text.removesuffix(" .").split(" . ")[1:]]
