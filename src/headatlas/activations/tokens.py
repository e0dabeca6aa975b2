"""Which tokens of a step its z is averaged over.

Knows the spans of a batch; knows no z. Every selection is one run of consecutive tokens, so a step's mean is that of a
slice.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from headatlas.errors import HeadAtlasError
from headatlas.vlm.batch import Batch

Run = tuple[int, int]


def _gold(batch: Batch, row: int, turn: int) -> Run:
    start, end = batch.spans[row][turn]
    # An answer whose tokens are all end-of-turn does not exist (`Step.answer` is not empty), so the run is never empty.
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


TOKENS: MappingProxyType[str, Callable[[Batch, int, int], Run]] = MappingProxyType(
    {"gold": _gold, "predict": _predict, "last": _last, "first": _first, "all": _all}
)
"""`gold`: the answer's own tokens, without end of turn (the paper's choice, deterministic). `predict`: the positions
that predict the answer and its end. `last`: the last prompt token. `first`: the answer's first token. `all`: the
step's whole turn, prompt, answer and end (images too, in the first step)."""


def check_tokens(tokens: str | tuple[str, ...]) -> tuple[str, ...]:
    """Token selections as a tuple; `HeadAtlasError` if one is unknown, comes twice, or there is none."""
    chosen = (tokens,) if isinstance(tokens, str) else tuple(tokens)
    for name in chosen:
        if name not in TOKENS:
            raise HeadAtlasError(f"unknown token selection {name!r}: expected one of {', '.join(TOKENS)}")
    if not chosen or len(set(chosen)) != len(chosen):
        raise HeadAtlasError(f"expected one or more different token selections, came {chosen}")
    return chosen
