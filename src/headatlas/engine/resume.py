"""Scopes `all`, `image` and `prompt`: a condition resumes the bare pass at its first edit.

Up to the output projection of the first block that a condition edits, everything is as in the bare pass. From there all positions
are computed, up to the heads of the last block, and after them only the predicting positions. One pass over the whole
conversation agrees with the step-by-step definition, because with gold answers the tokens and edits of a position do not depend
on later ones.
"""

from __future__ import annotations

from contextlib import nullcontext

from jaxtyping import Bool
from torch import Tensor

from headatlas.engine.answers import Answers, Outcome, outcome_of
from headatlas.engine.attention import AttentionPlan
from headatlas.engine.edits import GroupPlan
from headatlas.engine.record import Recording
from headatlas.heads.cache import CACHE_NAMES
from headatlas.vlm.positions import call_at, take


def resume(
    recording: Recording,
    answers: Answers,
    plan: GroupPlan,
    start: int,
    where: Bool[Tensor, "B T"] | None,
    attention: AttentionPlan | None = None,
) -> Outcome:
    """The predictions under the one condition of `plan`, which first edits block `start`.

    Args:
        recording: the bare pass.
        answers: where answers are predicted.
        plan: one condition (G = 1).
        start: first block that it edits.
        where: positions at which it acts; None for all.
        attention: its edits of attention.

    Raises:
        Unfit: the last block cannot be called for single positions.
    """
    with nullcontext() if attention is None else attention.over_sequence():
        return _resumed(recording, answers, plan, start, where, attention)


def _resumed(
    recording: Recording,
    answers: Answers,
    plan: GroupPlan,
    start: int,
    where: Bool[Tensor, "B T"] | None,
    attention: AttentionPlan | None,
) -> Outcome:
    stack, last = recording.stack, recording.stack.last
    hidden = recording.hidden[start]
    for i in range(start, last):
        site = stack.blocks[i].site
        if i > start and site not in plan.plans:
            hidden = stack.run(i, hidden, recording.calls[i])
            continue
        bare = i == start and not (attention and site in attention)  # nothing before its heads is edited
        z = recording.z[i] if bare else stack.up_to_z(i, hidden, recording.calls[i])
        hidden = stack.from_z(
            i, hidden, plan.apply(site, z[:, None], where)[:, 0], recording.calls[i], recording.outputs[i]
        )
    bare = start == last and not (attention and stack.blocks[last].site in attention)
    z = recording.z[last] if bare else stack.up_to_z(last, hidden, recording.calls[last])
    call = call_at(
        recording.calls[last], answers.at, hidden.shape[1], attention_mask=None, **dict.fromkeys(CACHE_NAMES)
    )
    there = None if where is None else where.to(answers.at.device).gather(1, answers.at)
    edited = plan.apply(stack.blocks[last].site, take(z, answers.at)[:, None], there)[:, 0]
    hidden = stack.from_z(last, take(hidden, answers.at), edited, call, recording.outputs[last])
    return outcome_of(recording.tail, hidden[:, None], answers)
