"""The method `sinks`: visual attention redistribution (VAR, arXiv 2503.03321).

*Sinks* are tokens that get attention whatever is asked. Their normed hidden state exceeds `LIMIT` in the model's sink dimensions,
which are those in which the first token's exceeds it on split P. Where an answer is predicted, in heads with at least
`IMAGE_MASS` of their attention on the image, the share `strength` of the sinks' attention is given to the other image tokens, in
proportion to their own. The sum of a row stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headatlas.heads import HeadSet
from headatlas.heads.attention import AttentionCall
from headatlas.heads.attention.sites import observed, places
from headatlas.heads.grid import Site
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM, Batch, conversation
from headatlas.vlm.loss import answer_logits, batched

LIMIT = 20.0
"""A token is a sink if its normed hidden state exceeds this in a sink dimension."""
IMAGE_MASS = 0.2
"""Heads with less of their attention on the image stay unchanged."""


@method("sinks")
@dataclass
class Sinks:
    """Give a share of the sinks' attention to the image.

    Args:
        tried: shares of the sinks' attention to redistribute; 0.4 is the published one.
        limit: of normed hidden states.
        image_mass: of a head's attention, 0..1.

    Attributes:
        dims: the sink dimensions; none in models without massive activations, where the method does nothing.
        share: as tuned; 0 for none.
    """

    tried: Sequence[float] = (0.2, 0.4, 0.6)
    limit: float = LIMIT
    image_mass: float = IMAGE_MASS
    name: str = "sinks"
    controls: tuple[str, ...] = ("shuffled",)
    needs: tuple[str, ...] = ("attention",)
    heads: HeadSet = field(default_factory=lambda: HeadSet(()))
    dims: tuple[int, ...] = ()
    share: float = 0.0
    shuffled: bool = False
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """One number."""
        return Cost(parameters=1)

    def fit(self, inputs: MethodInputs) -> None:
        """Find the sink dimensions on split P."""
        vlm = inputs.vlm
        self.share, self.dims, self.shuffled = 0.0, (), inputs.control == "shuffled"
        self.heads = vlm.heads.heads("L")
        if not vlm.image_in_text:
            self.reason = f"it needs image tokens in the text: {vlm.picture_path}"
            return
        largest = first_token_norms(inputs)
        self.dims = tuple(int(d) for d in (largest >= self.limit).nonzero()[:, 0])
        self.reason = (
            "" if self.dims else f"the model has no sinks: normed states are at most {float(largest.max()):.1f}"
        )

    def tune(self, inputs: MethodInputs) -> None:
        """Choose the share on split T."""
        if self.dims:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, share: float | None) -> None:
        self.share = share or 0.0

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the sinks' attention is redistributed."""
        if not self.share:
            yield
            return
        key = (
            f"sinks:{self.share!r}:{self.dims}:{self.limit!r}:{self.image_mass!r}:{self.shuffled}:{self.heads.sorted()}"
        )
        with vlm.around_batches(lambda batch, rows: self._within(vlm, batch), key):
            yield

    @contextmanager
    def _within(self, vlm: VLM, batch: Batch) -> Iterator[None]:
        sites = [site for site in vlm.heads.tower("L") if any(head.layer == site.layer for head in self.heads)]
        sinks: dict[Site, Tensor] = {}
        answer, image = batch.positions.answer, batch.image_mask
        assert answer is not None

        def note(site: Site, hidden: Tensor) -> None:
            is_sink = normed(hidden)[..., list(self.dims)].amax(-1) >= self.limit  # [B, t]
            if self.shuffled:  # the control: as many other tokens instead
                is_sink = is_sink[:, np.random.default_rng(is_sink.shape[1]).permutation(is_sink.shape[1])]
            before = sinks.get(site)
            decoding = hidden.shape[1] == 1
            sinks[site] = torch.cat([before, is_sink], 1) if before is not None and decoding else is_sink

        def see(site: Site, call: AttentionCall) -> AttentionCall | None:
            rows = (
                answer if call.length == answer.shape[1] else torch.ones(answer.shape[0], call.length, dtype=torch.bool)
            )
            heads = [head.head for head in self.heads if head.layer == site.layer]
            return redistributed(
                call,
                rows.to(call.query.device),
                heads,
                _keys(image, call),
                _keys(sinks[site], call),
                self.share,
                self.image_mass,
            )

        with ExitStack() as stack:
            for site in sites:
                stack.enter_context(watched(vlm, site, note))
            stack.enter_context(observed(vlm.model, sites, see))
            yield


def redistributed(
    call: AttentionCall,
    rows: Bool[Tensor, "B T"],
    heads: Sequence[int],
    image: Bool[Tensor, "B K"],
    sinks: Bool[Tensor, "B K"],
    share: float,
    image_mass: float,
) -> AttentionCall | None:
    """The attention call with `share` of the sinks' attention given to the other image tokens, at query positions `rows` of
    `heads`."""
    at, real = places(rows)
    if not at.shape[1] or not heads:
        return None
    weights = call.weights(heads, at)
    call.check(weights, heads, at)
    moved = redistribute(weights, image[:, None, None], sinks[:, None, None], share, image_mass)
    made = call.mixed(moved, heads).to(call.output.dtype)  # [B, Q, n, E]
    changed = (moved != weights).any(-1).transpose(1, 2) & real[..., None]
    output = call.output.clone()
    batch = torch.arange(len(at), device=at.device)
    place = (batch[:, None, None], at[:, :, None], torch.tensor(list(heads), device=at.device)[None, None])
    output[place] = torch.where(changed[..., None], made, output[place])
    return replace(call, output=output)


def redistribute(
    weights: Float[Tensor, "B n Q K"],
    image: Bool[Tensor, "b 1 1 K"],
    sinks: Bool[Tensor, "b 1 1 K"],
    share: float,
    image_mass: float,
) -> Float[Tensor, "B n Q K"]:
    """Attention rows with `share` of the sinks' mass given to the other image tokens, in proportion to their own mass.

    Rows with less than `image_mass` on the image, or with nothing on such tokens, stay as they are.
    """
    taking = image & ~sinks
    on_image = (weights * image).sum(-1, keepdim=True)
    given = share * (weights * sinks).sum(-1, keepdim=True)
    having = (weights * taking).sum(-1, keepdim=True)
    factor = torch.where(sinks, 1 - share, torch.where(taking, 1 + given / having.clamp(min=1e-12), 1.0))
    return torch.where((on_image >= image_mass) & (having > 0), weights * factor, weights)


def normed(hidden: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
    """|hidden| divided by its root mean square."""
    wide = hidden.float()
    return wide.abs() / wide.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-6)


@contextmanager
def watched(vlm: VLM, site: Site, note: Any) -> Iterator[None]:
    """Within the block, `note(site, hidden)` is called with the input [B, T, d] of the decoder block of each site."""
    block = vlm.model.get_submodule(site.owner.rpartition(".")[0])

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        note(site, args[0] if args else kwargs["hidden_states"])

    handle = block.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def first_token_norms(inputs: MethodInputs) -> Float[Tensor, " d"]:
    """The largest normed hidden state of the conversations' first tokens in each dimension, over layers and split P."""
    vlm, best = inputs.vlm, None
    chats = [conversation(q) for q in inputs.questions("P")[:16]]
    for _, batch in batched(vlm, chats, inputs.batch_size, refused={}):
        starts = torch.tensor(batch.starts)

        def note(site: Site, hidden: Tensor, starts: Tensor = starts) -> None:
            nonlocal best
            here = normed(hidden)[torch.arange(len(starts)), starts].amax(0)
            best = here if best is None else torch.maximum(best, here.to(best.device))

        with ExitStack() as stack:
            opened: list[AbstractContextManager[None]] = [watched(vlm, site, note) for site in vlm.heads.tower("L")]
            for one in opened:
                stack.enter_context(one)
            answer_logits(vlm, batch)
    assert best is not None
    return best.cpu()


def _keys(mask: Tensor, call: AttentionCall) -> Tensor:
    """Turn a mask over the sequence into one over the call's keys: False for decoded keys, without those that a sliding window
    dropped."""
    mask = mask.to(call.query.device)
    total = max(mask.shape[1], call.n_keys)
    padded = torch.zeros(mask.shape[0], total, dtype=torch.bool, device=mask.device)
    padded[:, : mask.shape[1]] = mask
    return padded[:, -call.n_keys :] if call.length == mask.shape[1] else padded[:, : call.n_keys]
