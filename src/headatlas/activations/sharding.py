"""Units of a capture on several workers.

Knows units, chunks of the store and workers. A worker writes the chunks of the store that lie wholly in its unit, whoever
else writes; the rows at a unit's ends, whose chunks are its neighbours' too, and the unit's answers come back, and the driver,
alone, writes these. A unit counts as done once its answers are there, so whatever was lost before is run again.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Float32

from headatlas.activations.arrays import array_of, has_arrays, open_arrays
from headatlas.activations.unit import run_unit
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.storage import Folder
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM

Ends = list[tuple[str, int, Float32[np.ndarray, "_n _L _H _D"]]]
"""Rows that the driver writes: token selection, first row, z."""


def capture_unit(
    vlm: VLM,
    questions: Sequence[Question],
    chats: Sequence[Conversation],
    tokens: tuple[str, ...],
    batch_size: int,
    where: str,
    start: int,
) -> tuple[Ends, pd.DataFrame]:
    """Run one unit, whose z begins at row `start` of the store in the folder `where`; see `run_unit`."""
    z, answers = run_unit(vlm, questions, chats, tokens, batch_size)
    group = _group(where)
    ends: Ends = []
    for i, name in enumerate(tokens):
        array = array_of(group, name)
        values = z[:, i]
        inner = whole_chunks(start, start + len(z), array.chunks[0], array.shape[0])
        if inner.start < inner.stop:
            array[inner.start : inner.stop] = values[inner.start - start : inner.stop - start]
        for a, b in ((start, inner.start), (inner.stop, start + len(z))):
            if a < b:
                ends.append((name, a, values[a - start : b - start].copy()))
    return ends, answers


def whole_chunks(start: int, stop: int, chunk: int, total: int) -> range:
    """The rows of start..stop whose chunks, of `chunk` rows each, lie wholly within; an empty range at `stop` if none."""
    first = -(-start // chunk) * chunk
    last = stop if stop == total else stop // chunk * chunk
    return range(first, last) if first < last else range(stop, stop)


def _group(where: str) -> zarr.Group:
    folder = Folder.of(where)
    # An absolute path that is not there is not made: it would be a folder of this machine's own.
    if not has_arrays(folder):
        raise HeadAtlasError(
            f"the worker on {platform.node()} does not see the capture in {where!r}: expected a folder that all machines "
            "share, or an address such as s3://bucket/run"
        )
    return open_arrays(folder, "r+")
