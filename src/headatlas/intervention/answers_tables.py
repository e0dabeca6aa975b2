"""`AnswersTables`: the answers tables of several conditions, built on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import pandas as pd


class AnswersTables(Sequence[pd.DataFrame]):
    """The answers tables of several conditions, in their order; each is read or built when it is asked for."""

    def __init__(self, load: Sequence[Callable[[], pd.DataFrame]]) -> None:
        self._load = load

    @overload
    def __getitem__(self, index: int) -> pd.DataFrame: ...
    @overload
    def __getitem__(self, index: slice) -> AnswersTables: ...
    def __getitem__(self, index: Any) -> Any:
        return AnswersTables(self._load[index]) if isinstance(index, slice) else self._load[index]()

    def __len__(self) -> int:
        return len(self._load)

    def __repr__(self) -> str:
        return f"AnswersTables({len(self)} conditions)"
