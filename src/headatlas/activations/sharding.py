"""Units of a capture on several workers.

A worker writes the chunks of z that lie completely in its unit, independently of the other workers. It returns the rows at the
unit's two ends, whose chunks it shares with its neighbours, and the unit's answers; only the driver writes these. A unit is done
once its answers are written, so a unit that was lost before runs again.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from headatlas.activations.arrays import has_arrays, open_arrays
from headatlas.activations.store import z_digest
from headatlas.activations.unit import run_unit
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.heads import Tower
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM


@dataclass(frozen=True, eq=False)
class UnitResult:
    """The result of a unit that a worker returns.

    Attributes:
        ends: rows that the driver writes: token selection, first row, z.
        answers: the answers table of the unit.
        digests: of the unit's z, by token selection; see `z_digest`.
    """

    ends: list[tuple[str, int, Float32[np.ndarray, "_n _L _H _D"]]]
    answers: pd.DataFrame
    digests: dict[str, str]


def capture_unit(
    vlm: VLM,
    questions: Sequence[Question],
    chats: Sequence[Conversation],
    tokens: tuple[str, ...],
    batch_size: int,
    where: str,
    shape: Sequence[int],
    rows: int,
    start: int,
    tower: Tower = "L",
) -> UnitResult:
    """Run one unit, whose z begins at row `start` of the arrays, of this shape in chunks of so many `rows`, in the
    folder `where`; see `run_unit`.

    Raises:
        HeadAtlasError: this machine does not see the folder.
    """
    arrays = _arrays(where, shape, tokens, rows)
    z, answers = run_unit(vlm, questions, chats, tokens, batch_size, tower)
    ends = []
    for i, name in enumerate(tokens):
        array = arrays[name]
        values = z[:, i]
        inner = whole_chunks(start, start + len(z), array.chunks[0], array.shape[0])
        if inner.start < inner.stop:
            array[inner.start : inner.stop] = values[inner.start - start : inner.stop - start]
        for a, b in ((start, inner.start), (inner.stop, start + len(z))):
            if a < b:
                ends.append((name, a, values[a - start : b - start].copy()))
    return UnitResult(ends, answers, {name: z_digest(z[:, i]) for i, name in enumerate(tokens)})


def whole_chunks(start: int, stop: int, chunk: int, total: int) -> range:
    """The rows of start..stop whose chunks, of `chunk` rows each, lie completely within; an empty range at `stop` if none."""
    first = -(-start // chunk) * chunk
    last = stop if stop == total else stop // chunk * chunk
    return range(first, last) if first < last else range(stop, stop)


def _arrays(where: str, shape: Sequence[int], tokens: tuple[str, ...], rows: int) -> dict[str, Any]:
    folder = Folder.of(where)
    # A path that does not exist here must not be created: it would be a folder on this machine alone.
    if not has_arrays(folder):
        raise HeadAtlasError(
            f"the worker on {platform.node()} does not see the capture in {where!r}: it must be a folder that all machines "
            "share, or an address such as s3://bucket/run"
        )
    return open_arrays(folder, shape, tokens, "r+", rows)
