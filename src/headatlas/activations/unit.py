"""One unit of a capture: the passes over its questions, and the z and answers that they give.

A unit is batched by itself, so its z does not depend on which process, or which attempt, computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from headatlas.activations.reduce import PictureMeans, StepMeans
from headatlas.activations.tokens import TOKENS, Run
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import TEXT_TOWERS, Tower, ZReader
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.evaluate import rows_of, table
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.read import in_batches, readouts_of


def run_unit(
    vlm: VLM,
    questions: Sequence[Question],
    chats: Sequence[Conversation],
    tokens: tuple[str, ...],
    batch_size: int,
    tower: Tower = "L",
) -> tuple[Float32[np.ndarray, "n S L H D"], pd.DataFrame]:
    """z and the answers table of one unit, step by step in the order of the questions.

    Args:
        vlm: the model.
        questions: of the unit; their images are not used.
        chats: the conversation in which each question is asked.
        tokens: S token selections, see `TOKENS`.
        batch_size: conversations per forward.
        tower: whose z; in a tower whose rows are pictures, every step has the mean over all positions of its question's pictures.

    Raises:
        HeadAtlasError: z or logits are not finite, or a layer's z was not read exactly once in a forward.
    """
    starts = np.concatenate([[0], np.cumsum([len(question.steps) for question in questions])])
    dims = vlm.heads.dims(tower)
    z = np.empty((int(starts[-1]), len(tokens), *dims), np.float32)
    records: list[list[dict[str, Any]]] = [[] for _ in questions]

    def work(rows: list[int], batch: Batch) -> None:
        runs: list[tuple[int, Run]] = []
        places = []
        for at, row in enumerate(rows):
            for turn in range(len(questions[row].steps)):
                runs += [(at, TOKENS[name](batch, at, turn)) for name in tokens]
                places.append(starts[row] + turn)
        means = StepMeans(runs, dims, vlm.device) if tower in TEXT_TOWERS else PictureMeans(len(runs), dims, vlm.device)
        reader = ZReader(vlm.heads, tower, on_z=means)
        logits = logits_at(vlm, batch, batch.predict_mask(), rows, reader)
        _check(vlm, means)
        z[places] = means.means.cpu().numpy().reshape(len(places), len(tokens), *dims)
        for row, readouts in zip(rows, readouts_of(vlm, batch, logits), strict=True):
            texts, logprobs, ended = zip(*((r.text, r.logprob, r.ended) for r in readouts), strict=True)
            records[row] = rows_of(questions[row], texts, logprobs, ended)

    in_batches(vlm, chats, batch_size if tower in TEXT_TOWERS else 1, work)
    return z, table([record for rows in records for record in rows])


def _check(vlm: VLM, means: StepMeans | PictureMeans) -> None:
    missed = [layer for layer, calls in enumerate(means.calls) if calls != 1 and not (calls and means.many)]
    if missed:
        raise HeadAtlasError(
            f"{vlm.name}: z of layer {missed[0]} must be read once in a forward, got {means.calls[missed[0]]} times; the "
            "model calls its attention in another way than its modules say (compiled, or changed after it was loaded): load "
            "it again and do not compile it"
        )
    finite = means.means.isfinite().flatten(2).all(2).all(0).tolist()  # by layer
    if not all(finite):
        raise HeadAtlasError(
            f"{vlm.name} in {str(vlm.dtype).removeprefix('torch.')}: z of layer {finite.index(False)} is not finite (NaN or "
            'infinite); load the model with dtype="bfloat16" or "float32"'
        )
