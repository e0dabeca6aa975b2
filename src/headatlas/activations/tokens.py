"""Token selections: the consecutive tokens of a step over which its z is averaged."""

from __future__ import annotations

from collections.abc import Callable

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry
from headatlas.vlm.batch import Batch

Run = tuple[int, int]


def _gold(batch: Batch, row: int, turn: int) -> Run:
    start, end = batch.spans[row][turn]
    # `Step.answer` is not empty, so neither is this run.
    return start, end - batch.ends[row][turn]


def _predict(batch: Batch, row: int, turn: int) -> Run:
    start, end = batch.spans[row][turn]
    return start - 1, end - 1


def _last(batch: Batch, row: int, turn: int) -> Run:
    start, _ = batch.spans[row][turn]
    return start - 1, start


def _first(batch: Batch, row: int, turn: int) -> Run:
    start, _ = batch.spans[row][turn]
    return start, start + 1


def _all(batch: Batch, row: int, turn: int) -> Run:
    return batch.turn_start(row, turn), batch.spans[row][turn][1]


Selection = Callable[[Batch, int, int], Run]
"""(batch, row, turn) -> first token and token after the last."""

TOKENS: Registry[Selection] = Registry("token selection")
"""`gold`: the answer's own tokens, without end of turn (the paper's choice). `predict`: the positions that predict the
answer and its end. `last`: the last prompt token. `first`: the answer's first token. `all`: the step's whole turn, prompt, answer
and end (and the images, in the first step)."""

for _name, _selection in (("gold", _gold), ("predict", _predict), ("last", _last), ("first", _first), ("all", _all)):
    TOKENS.add(_name, _selection)


def check_tokens(tokens: str | tuple[str, ...]) -> tuple[str, ...]:
    """Token selections as a tuple; `HeadAtlasError` if one is unknown or given twice, or if there is none."""
    chosen = (tokens,) if isinstance(tokens, str) else tuple(tokens)
    for name in chosen:
        TOKENS[name]
    if not chosen or len(set(chosen)) != len(chosen):
        raise HeadAtlasError(f"tokens must be one or more different selections, got {chosen}")
    return chosen
