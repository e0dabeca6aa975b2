"""Attribution patching: the cost of ablating each head, estimated for all heads in a few passes.

To first order, replacing head j's z by v changes m, the gold answer's log-probability, by sum_t (v_j - z_j(t)) . dm/dz_j(t)
(AtP; Nanda 2023, Kramar et al. 2403.00745). One forward and one backward pass for each answer give this for all heads. With
several `steps` the gradient is averaged on the path from z to (1 - reach) z + reach v of all heads together (integrated gradients
as in EAP-IG, Hanna et al. 2403.17806), which also captures effects that are saturated at z.

It is an estimate; `scoring.agreement` measures how well its ranking of heads agrees with exact ablation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from headatlas.engine.answers import answers_of, gold_logprob, not_finite
from headatlas.engine.naive import BRANCHED
from headatlas.errors import HeadAtlasError
from headatlas.heads import uncompiled
from headatlas.heads.scope import check_scope
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.forward import Gather
from headatlas.vlm.model import VLM
from headatlas.vlm.prefix import forget_positions
from headatlas.vlm.read import in_batches


def attributed_losses(
    vlm: VLM,
    conversations: Sequence[Conversation],
    values: Float[np.ndarray, "L H D"] | None = None,
    scope: str = "all",
    steps: int = 1,
    reach: float = 1.0,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "N L H"]:
    """Estimated fall of each answer's gold log-probability (nats; positive is a loss) with each head's z replaced.

    Args:
        vlm: the model, without active edits.
        conversations: with an answer in every turn; N answers in all, conversation by conversation.
        values: replacement of z, such as its mean; None: zero.
        scope: where z is replaced, one of `heads.SCOPES`; in `answer` and `last` only at the answer's own positions.
        steps: points at which the gradient is taken; 1: at the bare model only.
        reach: how far towards `values` the points go, in (0, 1]; the first is always the bare model.
        batch_size: conversations per batch; gradients need several times the memory of a pass.
        progress: called as `progress("attribution", done, total)`, in conversations.

    Raises:
        HeadAtlasError: active edits, values of another shape, no step, a reach outside (0, 1], a layer whose z is not
            reached, or an estimate that is not finite.
    """
    checked = check_scope(scope)
    shape = vlm.heads.dims("L")
    if vlm.edited:
        raise HeadAtlasError("attribution runs the bare model: call it outside vlm.edit(...)")
    if values is not None and values.shape != shape:
        raise HeadAtlasError(f"values must have the shape {shape}, got {values.shape}")
    if steps < 1 or not 0 < reach <= 1:
        raise HeadAtlasError(f"steps must be at least 1 and reach in (0, 1], got {steps} and {reach}")
    goal = torch.zeros(shape) if values is None else torch.from_numpy(np.asarray(values, np.float32))
    counts = [len(chat.turns) for chat in conversations]
    starts = np.concatenate([[0], np.cumsum(counts)])
    out = np.zeros((int(starts[-1]), *shape[:2]), np.float32)

    done = 0

    def work(rows: list[int], batch: Batch) -> None:
        losses = _batch(vlm, batch, goal, checked, np.arange(steps) / steps * reach)
        place = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
        if not np.isfinite(losses).all():
            raise not_finite(vlm, f"the attribution of layer {_first_bad(losses)}")
        out[place] = losses
        nonlocal done
        done += len(rows)
        if progress is not None:
            progress("attribution", done, len(conversations))

    with _frozen(vlm.model), uncompiled(vlm.model):
        in_batches(vlm, conversations, batch_size, work)
    return out


def _batch(
    vlm: VLM, batch: Batch, goal: Float[Tensor, "L H D"], scope: Any, alphas: Float[np.ndarray, " S"]
) -> Float32[np.ndarray, "n L H"]:
    answers = answers_of(batch).to(vlm.device)
    where = batch.predict_mask()
    turns = [turn for spans in batch.spans for turn in range(len(spans))]
    row_of = [row for row, spans in enumerate(batch.spans) for _ in spans]
    fixed = None if scope in BRANCHED or scope == "all" else batch.positions.mask(scope)
    inputs = batch.to(vlm.device, vlm.dtype)
    forget_positions(vlm.model)
    change = np.zeros((answers.n, *goal.shape[:2]), np.float32)
    bare: list[Tensor] = []
    with torch.enable_grad():
        for alpha in alphas:
            z, logits = _forward(vlm, inputs, where, goal, float(alpha))
            if not bare:
                bare = [one.detach() for one in z]
            gold = gold_logprob(logits, answers.gold[answers.real].to(logits.device))  # [K]
            answer = answers.answer[answers.real].to(logits.device)
            for turn in range(max(turns) + 1):
                some = [i for i, t in enumerate(turns) if t == turn]
                chosen = torch.isin(answer, torch.tensor(some, device=answer.device))
                grads = torch.autograd.grad(gold[chosen].sum(), z, retain_graph=turn < max(turns))
                for layer, (grad, start) in enumerate(zip(grads, bare, strict=True)):
                    site = vlm.heads.tower("L")[layer]
                    step = goal[layer].to(start) - site.split(start)
                    part = (site.split(grad) * step).sum(-1).float()  # [B, T, H]
                    there = _where(batch, scope, turn, fixed)
                    if there is not None:
                        part = part * there.to(part.device)[..., None]
                    change[some, layer] += part.sum(1)[[row_of[i] for i in some]].cpu().numpy() / len(alphas)
    return -change


def _where(batch: Batch, scope: str, turn: int, fixed: Tensor | None) -> Tensor | None:
    """Where the answers of a turn are ablated, bool [B, T]; None: everywhere."""
    if scope not in BRANCHED:
        return fixed
    mask = torch.zeros_like(batch.image_mask)
    for row, spans in enumerate(batch.spans):
        if turn < len(spans):
            start, end = spans[turn]
            mask[row, start - 1 : (end - 1 if scope == "answer" else start)] = True
    return mask


def _forward(
    vlm: VLM, inputs: dict[str, Any], where: Tensor, goal: Tensor, alpha: float
) -> tuple[list[Tensor], Float[Tensor, "K V"]]:
    """z of every layer, `[B, T, H*D]`, moved by `alpha` towards the goal, and the logits; the graph starts at the first z."""
    z: list[Tensor] = []

    def hook(layer: int) -> Any:
        site = vlm.heads.tower("L")[layer]

        def move(module: Any, args: tuple[Any, ...]) -> Any:
            here = args[0]
            if alpha:
                here = ((1 - alpha) * site.split(here) + alpha * goal[layer].to(here)).reshape(here.shape)
            if layer == 0:
                here = here.detach().requires_grad_()
            z.append(here)
            return (here, *args[1:])

        return move

    gather = Gather(where.to(vlm.device))
    with ExitStack() as hooks:
        for site in vlm.heads.tower("L"):
            hooks.callback(site.module.register_forward_pre_hook(hook(site.layer)).remove)
        hooks.callback(vlm.model.get_output_embeddings().register_forward_pre_hook(gather).remove)
        logits = vlm.model(**inputs, use_cache=False).logits
    if len(z) != len(vlm.heads.tower("L")):
        raise HeadAtlasError(
            f"{vlm.name}: z of every layer must be read once in a forward, got {len(z)} reads of {len(vlm.heads.tower('L'))} "
            "layers; load the model again and do not compile it"
        )
    return z, gather.pick(logits)


def _first_bad(found: Float32[np.ndarray, "n L H"]) -> int:
    return int(np.argmin(np.isfinite(found).all((0, 2))))


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    """Within the block no weight needs a gradient, only z."""
    needed = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in needed:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in needed:
            weight.requires_grad_(True)
