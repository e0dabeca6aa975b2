"""Fit a few parameters inside a frozen model by gradient, on split P.

The loss of a batch is the mean negative log-probability of the gold answers of its spatial steps, plus `beta` times the mean KL
divergence from the unchanged model on those other steps that the unchanged model answers right. For the shuffled control the gold
answers of spatial steps are exchanged between steps of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas.cogvsr.functions import SPATIAL
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.methods.base import MethodInputs
from headatlas.vlm import Batch, conversation
from headatlas.vlm.loss import AnswerLogits, answer_logits, batched

PASSES = 8
"""Passes over split P, at most, so that a small split is not learned by heart."""


@dataclass(frozen=True, eq=False)
class FitBatch:
    """One batch to fit on.

    Attributes:
        batch: the encoded conversations.
        target: turns whose gold answers are to become likelier.
        keep: turns whose predictions are to stay as they are.
        original: logits of the unchanged model at the answers' positions, float32.
    """

    batch: Batch
    target: Bool[Tensor, " turns"]
    keep: Bool[Tensor, " turns"]
    original: Float[Tensor, "n V"]


def fit_batches(inputs: MethodInputs) -> list[FitBatch]:
    """The questions of split P as batches, with the logits of the unchanged model.

    Raises:
        HeadAtlasError: no spatial step among them.
    """
    questions = inputs.questions("P")
    answers = shuffled_answers(questions, inputs.rng) if inputs.control == "shuffled" else None
    chats = [conversation(q, answers=None if answers is None else answers[i]) for i, q in enumerate(questions)]
    batches = []
    for rows, batch in batched(inputs.vlm, chats, inputs.fit_batch, refused={}):
        target = torch.tensor([step.function in SPATIAL for row in rows for step in questions[row].steps])
        with torch.no_grad():
            bare = answer_logits(inputs.vlm, batch)
        target = target.to(bare.logits.device)
        batches.append(FitBatch(batch, target, ~target & right_turns(bare), bare.logits))
    if not any(bool(one.target.any()) for one in batches):
        raise HeadAtlasError("split P has no spatial step to fit on: use more questions (--n)")
    return batches


def right_turns(made: AnswerLogits) -> Bool[Tensor, " turns"]:
    """Turns of which every gold token is the likeliest one."""
    wrong = made.logits.argmax(-1) != made.gold
    return torch.zeros(made.n_turns, device=wrong.device).index_add(0, made.turn, wrong.float()) == 0


def shuffled_answers(questions: Sequence[Question], rng: np.random.Generator) -> list[list[str]]:
    """The gold answers of all steps, those of spatial steps exchanged between steps of equal kind and answer type."""
    answers = [[step.answer for step in question.steps] for question in questions]
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i, question in enumerate(questions):
        for k, step in enumerate(question.steps):
            if step.function in SPATIAL:
                places.setdefault((step.kind, step.answer_type), []).append((i, k))
    for some in places.values():
        given = [answers[i][k] for i, k in some]
        for (i, k), j in zip(some, rng.permutation(len(some)), strict=True):
            answers[i][k] = given[j]
    return answers


def fit_parameters(
    inputs: MethodInputs,
    parameters: Sequence[Tensor],
    applied: Callable[[], AbstractContextManager[object]],
    *,
    name: str,
    lr: float,
    steps: int,
    beta: float = 0.2,
    penalty: Callable[[], Tensor] | None = None,
    after_step: Callable[[float], None] | None = None,
    batches: Sequence[FitBatch] | None = None,
) -> list[float]:
    """Fit `parameters` with Adam, the learning rate falling to 0 by a cosine; returns the loss of every step.

    Args:
        inputs: split P of its data is used.
        parameters: leaf tensors with gradients.
        applied: puts them into the model for the duration of a block.
        name: of the method, for progress.
        lr: learning rate at the beginning.
        steps: updates, each on one batch; at most `PASSES` times as many as there are batches.
        beta: weight of staying close to the unchanged model on other steps.
        penalty: added to the loss.
        after_step: called with the learning rate after each update, such as a proximal step.
        batches: if they were made already.

    Raises:
        HeadAtlasError: the loss is not finite.
    """
    made = fit_batches(inputs) if batches is None else list(batches)
    steps = min(steps, PASSES * len(made))
    optimizer = torch.optim.Adam(parameters, lr=lr)
    order: list[int] = []
    losses = []
    rng = inputs.rng
    for step in range(steps):
        rate = lr * 0.5 * (1 + float(np.cos(np.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        order = order or list(rng.permutation(len(made)))
        one = made[order.pop()]
        with torch.enable_grad(), applied():
            out = answer_logits(inputs.vlm, one.batch)
        with torch.enable_grad():
            loss = out.nll()[one.target].mean() if bool(one.target.any()) else out.logits.sum() * 0
            if beta and bool(one.keep.any()):
                loss = loss + beta * out.kl(one.original)[one.keep].mean()
            if penalty is not None:
                loss = loss + penalty()
        if not bool(torch.isfinite(loss)):
            raise HeadAtlasError(
                f"{name}: the loss must be finite, got {float(loss)} at step {step}; lower the learning rate"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if after_step is not None:
            with torch.no_grad():
                after_step(rate)
        losses.append(float(loss.detach()))
        inputs.report(f"fit {name}", step + 1, steps)
    return losses
