"""Encode conversations as token arrays, a hundred times as fast as the processor.

For each family a test compares the arrays with what the processor makes of the same conversations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Int64, Integer, UInt8
from transformers import PreTrainedTokenizerFast

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.cogvsr.schema import Question, Step
from headatlas.reference.build import token_id, words
from headatlas.reference.form import Form
from headatlas.scenes import phrases
from headatlas.scenes.build import symbolic
from headatlas.scenes.caption import caption
from headatlas.scenes.world import Scene

CAPTION_REQUEST = "describe the picture."
"""The user's request for a caption."""

THING_REQUEST = "describe the"
"""The user's request before the colour and class of one thing."""

LIST_REQUEST = "list the things."
"""The user's request for a list of all things."""

OTHER = len(FUNCTIONS)
"""Mark of an answer that is not a step: a caption, or an answer without steps."""

BLIND = 16
"""Added to the mark of an answer whose step does not need the image."""


@dataclass(frozen=True)
class Row:
    """One conversation: tokens, and a mark for each: 0, or in an answer 1 + its function (`OTHER` for none), + `BLIND`."""

    ids: Integer[np.ndarray, " T"]
    marks: UInt8[np.ndarray, " T"]


@lru_cache
def scene_words(seed: int = 0, n: int = 1500) -> tuple[str, ...]:
    """Return every word that scenes' questions, steps, answers and captions use, in alphabetical order."""
    return words([CAPTION_REQUEST, THING_REQUEST, LIST_REQUEST, "0 1 2 3 4 5 6 7 8 9", *_texts(seed, n)])


def _texts(seed: int, n: int) -> Iterator[str]:
    yield from phrases.OPENERS
    for made in symbolic(n, "train", seed):
        yield caption(made.scene)
        yield made.question.text
        for step in made.question.steps:
            yield step.text
            yield step.answer


class Encoder:
    """Turns conversations into `Row`s. Each distinct text is tokenized once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, form: Form, image_tokens: int):
        self._tokenizer = tokenizer
        self._memory: dict[str, list[int]] = {}
        self.end, self.image = token_id(tokenizer, form.end), token_id(tokenizer, form.image)
        self._opening, self._user, self._assistant, self._after = (
            self._ids(text) for text in (form.opening, form.user, form.close + form.assistant, form.after)
        )
        before, after = (self._ids(text) for text in form.picture)
        self._picture = [*before, *[self.image] * image_tokens, *after]
        self._ask, self._list = self._ids(THING_REQUEST), self._ids(LIST_REQUEST)
        self._stop = self._ids(".")[0]
        self._plain = {self._ids(word)[0] for word in ("row", "column", "facing")}
        self._newline = self._ids("\n")

    def steps(self, question: Question) -> Row:
        """The question with all of its steps and answers."""
        turns = []
        for i, step in enumerate(question.steps):
            text = f"{question.text}\n{step.text}" if i == 0 else step.text
            mark = 1 + FUNCTIONS.index(step.function) + (0 if step.needs_image else BLIND)
            turns.append((self._lines(text), self._ids(step.answer), mark))
        return self._row(turns)

    def direct(self, question: Question) -> Row:
        """The question alone and its answer."""
        return self._row([(self._lines(question.text), self._ids(question.answer), 1 + OTHER)])

    def caption(self, scene: Scene) -> Row:
        """The request for a caption, and the caption."""
        return self._row([(self._ids(CAPTION_REQUEST), self._ids(caption(scene)), 1 + OTHER)])

    def things(self, caption: Row, order: Int64[np.ndarray, " things"]) -> Row:
        """The caption's things in the given order (0-based); in each turn one is asked for by name and described."""
        parts = [self._parts(caption)[i] for i in order]
        return self._row([([*self._ask, *part[2:4], self._stop], part, 1 + OTHER) for part in parts])

    def listing(self, caption: Row, order: Int64[np.ndarray, " things"]) -> Row:
        """The caption's things in one turn and in the given order (0-based), each by name and then its properties.

        Names are not learned, as the order is random. No other kind of row has as many lookups by name per token, and a model
        needs many before it learns to look things up.
        """
        parts = self._parts(caption)
        text: list[int] = []
        marks: list[int] = []
        for i in order:
            part = parts[i]
            properties = [token for token in part[:2] + part[4:] if token not in self._plain]
            text += [*part[2:4], *properties, self._stop]
            marks += [0, 0] + [1 + OTHER] * len(properties) + [0]
        row = self._row([(self._list, text, 0)])
        first = len(row.ids) - len(self._after) - 1 - len(text)
        row.marks[first : first + len(text)] = marks
        return row

    def quiz(self, steps: list[Step]) -> Row:
        """Steps of several questions about one picture, one in each turn."""
        return self._row(
            [(self._lines(step.text), self._ids(step.answer), 1 + FUNCTIONS.index(step.function)) for step in steps]
        )

    def _parts(self, caption: Row) -> list[list[int]]:
        """The tokens of each thing of a caption: size, texture, colour, class, row, column and so on."""
        text = caption.ids[caption.marks > 0][:-1].tolist()
        stops = [i for i, token in enumerate(text) if token == self._stop]
        return [text[a + 1 : b] for a, b in pairwise(stops)]

    def n_things(self, caption: Row) -> int:
        """The number of things in a caption."""
        return int((caption.ids[caption.marks > 0] == self._stop).sum()) - 1

    @property
    def picture_tokens(self) -> int:
        """The number of tokens of a row's picture: the cells and what the processor puts around them."""
        return len(self._picture)

    def with_second_image(self, row: Row) -> Row:
        """The same conversation with two images, the second right after the first."""
        first = len(self._opening) + len(self._user)
        return Row(np.insert(row.ids, first, self._picture), np.insert(row.marks, first, np.zeros(len(self._picture))))

    def without_image(self, row: Row) -> Row:
        """The same conversation as the template writes it when there is no image."""
        first = len(self._opening) + len(self._user)
        cut = slice(first, first + len(self._picture))
        return Row(np.delete(row.ids, cut), np.delete(row.marks, cut))

    def _row(self, turns: list[tuple[list[int], list[int], int]]) -> Row:
        """A conversation of turns: the user's text, the answer, and its mark."""
        ids: list[int] = list(self._opening)
        marks: list[int] = [0] * len(ids)
        for i, (user, answer, mark) in enumerate(turns):
            prompt = [*self._user, *(self._picture if i == 0 else []), *user, *self._assistant]
            ids += [*prompt, *answer, self.end, *self._after]
            marks += [0] * len(prompt) + [mark] * (len(answer) + 1) + [0] * len(self._after)
        return Row(np.array(ids, np.int32), np.array(marks, np.uint8))

    def _lines(self, text: str) -> list[int]:
        """The tokens of a text, line by line: the text of a step occurs often, the question before it only once."""
        first, *rest = text.split("\n")
        ids = list(self._ids(first))
        for line in rest:
            ids += [*self._newline, *self._ids(line)]
        return ids

    def _ids(self, text: str) -> list[int]:
        if text not in self._memory:
            if len(self._memory) > 500_000:
                self._memory.clear()
            self._memory[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._memory[text]
