"""One call of an attention function, and its attention rows computed from the same tensors.

a[h](q, .) = softmax over k of (q_h . k_g(h) * scale, capped, + bias + mask), with the sink's logit in the denominator where the
family has one. Only the requested rows are computed: `O(rows x keys)`, in float32 (or float64). The meaning of a missing mask
depends on the implementation: `sdpa` and flash kernels are causal without one, eager code is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.printing import brief

CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest accepted difference between a . V and the kernel's output, as a share of the largest value; 0.03 in half precision."""


@dataclass(frozen=True, eq=False)
class LogitChange:
    """The change that an edit makes to the logits of a call.

    Attributes:
        chosen: the batch rows and heads that are edited, `[B, H]`.
        queries: the query positions that are edited, `[B, T]`; None for all.
        keys: the keys whose logits `change` changes, `[B|1, 1, 1, K]`.
        change: logits `[B, n, Q, K]` before the mask to changed ones.
    """

    chosen: Bool[Tensor, "B H"]
    queries: Bool[Tensor, "B T"] | None
    keys: Bool[Tensor, "b 1 1 K"]
    change: Callable[[Tensor], Tensor]

    def concerns(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Bool[Tensor, "B n Q"]:
        """Which of these rows the edit changes."""
        chosen = self.chosen[:, list(heads)][:, :, None]
        return (
            chosen.expand(-1, -1, at.shape[1]) if self.queries is None else chosen & self.queries.gather(1, at)[:, None]
        )


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """The arguments that an attention module gave its kernel, and the kernel's output.

    Attributes:
        module: the module that made the call.
        implementation: `sdpa`, `eager`, `flash_attention_2`, `flex_attention`...
        query: `[B, H, T, D]`, after rotary angles and norms.
        key, value: `[B, Hkv, K, D]` and `[B, Hkv, K, Dv]`; H is a multiple of Hkv.
        mask: None, bool (True is seen) or additive `[B|1, H|1, T, K]`, bool `[B, K]` over keys (flash), or a flex `BlockMask`.
        options: all other arguments, by name.
        output: `[B, T, H, Dv]`.
        own_weights: the weights `[B, H, T, K]` that eager code also returns; None from fast kernels.
        changes: changes of the logits by edits; `output`, and the rows read here, are then those after the edits.
    """

    module: nn.Module
    implementation: str
    query: Float[Tensor, "B H T D"]
    key: Float[Tensor, "B G K D"]
    value: Float[Tensor, "B G K E"]
    mask: Any
    options: Mapping[str, Any]
    output: Float[Tensor, "B T H E"]
    own_weights: Float[Tensor, "B H T K"] | None = None
    changes: tuple[LogitChange, ...] = ()

    __repr__ = brief

    @classmethod
    def of(
        cls, implementation: str, given: Mapping[str, Any], output: Tensor, own_weights: Any = None
    ) -> AttentionCall:
        """From the arguments of an attention function, by name."""
        named = ("module", "query", "key", "value", "attention_mask")
        options = {name: value for name, value in given.items() if name not in named and value is not None}
        tensors = (given[name] for name in named)
        module, query, key, value, mask = tensors
        own = own_weights if isinstance(own_weights, Tensor) and own_weights.dim() == 4 else None
        return cls(module, implementation, query, key, value, mask, options, output, own)

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.query.shape[1]

    @property
    def length(self) -> int:
        """Query positions of this call."""
        return self.query.shape[2]

    @property
    def n_keys(self) -> int:
        """Keys, cached ones included."""
        return self.key.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which rows are computed."""
        return torch.promote_types(self.query.dtype, torch.float32)

    def logits(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B n Q K"]:
        """Logits of chosen heads at the query positions `at` of each row: scaled and capped, bias and changes included, not
        masked."""
        query = torch.take_along_dim(self.query, at[:, None, :, None], 2)  # [B, H, Q, D]
        logits = self._products(query.to(self.dtype), heads)
        scaling = self.options.get("scaling")
        logits = logits * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        cap = self.options.get("softcap")
        if cap is not None:
            logits = cap * torch.tanh(logits / cap)
        bias = self.options.get("position_bias")
        if bias is not None:
            logits = logits + self._rows(bias, heads, at)
        for change in self.changes:
            logits = torch.where(change.concerns(heads, at)[..., None], change.change(logits), logits)
        return logits

    def _products(self, query: Tensor, heads: Sequence[int]) -> Tensor:
        groups, n_keys = self.key.shape[1], self.n_keys
        each = self.n_heads // groups
        if 2 * len(heads) <= self.n_heads:
            keys = self.key[:, [h // each for h in heads]].to(self.dtype)
            return query[:, list(heads)] @ keys.transpose(2, 3)
        grouped = query.unflatten(1, (groups, each)).flatten(2, 3)  # [B, G, each*Q, D]
        made = (grouped @ self.key.to(self.dtype).transpose(2, 3)).reshape(query.shape[0], self.n_heads, -1, n_keys)
        return made if list(heads) == list(range(self.n_heads)) else made[:, list(heads)]

    def mask_rows(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B n Q K"] | None:
        """The additive mask of these rows, `[B, n or 1, Q, K]`; None if every key is seen."""
        if isinstance(self.mask, Tensor) and self.mask.dim() == 4:
            rows = self._rows(self.mask, heads, at)
            if rows.dtype == torch.bool:
                return _additive(rows, self.dtype)
            # The smallest number stands for -infinity.
            return rows.to(self.dtype).masked_fill(rows <= torch.finfo(rows.dtype).min / 2, -torch.inf)
        if self.mask is not None and not isinstance(self.mask, Tensor):
            return _additive(self._flex(at), self.dtype)
        seen = self._causal(at)
        if isinstance(self.mask, Tensor):
            if self.mask.dim() != 2:
                raise HeadAtlasError(f"attention mask must be [B, K] or [B, H, T, K], got {tuple(self.mask.shape)}")
            keys = self.mask[:, -self.n_keys :].bool()[:, None, None]
            seen = keys if seen is None else seen & keys
        return None if seen is None else _additive(seen, self.dtype)

    def _rows(self, table: Tensor, heads: Sequence[int], at: Tensor) -> Tensor:
        """Rows `[B, n or 1, Q, K]` of a table `[B|1, H|1, T|1, >= K]`."""
        table = table[..., : self.n_keys]
        if table.shape[1] > 1 and list(heads) != list(range(table.shape[1])):
            table = table[:, list(heads)]
        if table.shape[2] == 1:
            return table
        table = table.expand(at.shape[0], -1, -1, -1)
        batch = torch.arange(at.shape[0], device=table.device)[:, None]
        return table[batch, :, at.to(table.device)].transpose(1, 2)  # [B, n, Q, K]

    def _causal(self, at: Tensor) -> Tensor | None:
        """The keys that are seen without a mask: bool `[B, 1, Q, K]`, or None for all."""
        if self.implementation == "eager" or "flex" in self.implementation:
            return None  # their masks are always given
        keys = torch.arange(self.n_keys, device=at.device)
        told = self.options.get("is_causal")
        causal = getattr(self.module, "is_causal", True) if told is None else bool(told)
        if self.implementation.endswith("sdpa"):
            # torch's rule: upper left, and only for more than one query
            causal = causal and self.length > 1 and self.mask is None
            return (keys <= at[..., None])[:, None] if causal else None
        packed = self.options.get("cu_seq_lens_k", self.options.get("cu_seqlens"))
        here = at + self.n_keys - self.length  # flash kernels: the last query is at the last key
        seen = torch.ones(*at.shape, self.n_keys, dtype=torch.bool, device=at.device)
        if isinstance(packed, Tensor):
            segment = torch.bucketize(keys, packed.to(at.device), right=True)
            seen = segment[None, None] == segment[here][..., None]
        window = self.options.get("sliding_window")
        if causal and self.length > 1:
            seen = seen & (keys <= here[..., None])
        if causal and window:
            seen = seen & (keys > here[..., None] - window)
        return seen[:, None]

    def _flex(self, at: Tensor) -> Tensor:
        """Keys seen by a `BlockMask`, bool `[B, 1, Q, K]`."""
        rule: Any = getattr(self.mask, "mask_mod", None)
        if rule is None:
            raise HeadAtlasError(f"attention mask must be a tensor or a flex BlockMask, got {type(self.mask).__name__}")
        batch = torch.arange(at.shape[0], device=at.device)[:, None, None].expand(*at.shape, self.n_keys)
        keys = torch.arange(self.n_keys, device=at.device).expand_as(batch)
        return rule(batch, torch.zeros_like(batch), at[..., None].expand_as(batch), keys)[:, None]

    def sink(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B n Q 1"] | None:
        """The logit of the sink, which is in the softmax but has no value vector; None if the family has none."""
        if self.implementation.endswith("sdpa"):
            return None
        sink = self.options.get("s_aux", self.options.get("sinks"))
        if sink is None and self.implementation == "eager":
            sink = getattr(self.module, "sinks", None)
        if not isinstance(sink, Tensor):
            return None
        if sink.dim() == 4:  # one for each query
            return self._rows(sink.expand(-1, -1, -1, self.n_keys), heads, at)[..., :1].to(self.dtype)
        shape = (at.shape[0], len(heads), at.shape[1], 1)
        return sink.reshape(-1)[list(heads)].to(self.dtype)[None, :, None, None].expand(shape)

    def softmax(
        self, logits: Float[Tensor, "B n Q K"], heads: Sequence[int], at: Int[Tensor, "B Q"]
    ) -> Float[Tensor, "B n Q K"]:
        """Weights of logits as `logits` gives them, under the call's own mask. They sum to 1 less the sink's share; a row
        without any key left is 0."""
        mask = self.mask_rows(heads, at)
        if mask is not None:
            logits = logits + mask
        sink = self.sink(heads, at)
        if sink is not None:
            return torch.cat([logits, sink], -1).softmax(-1)[..., :-1]
        weights = logits.softmax(-1)
        return torch.where((logits == -torch.inf).all(-1, keepdim=True), 0.0, weights)

    def weights(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B n Q K"]:
        """Attention rows of chosen heads at the query positions `at` of each batch row.

        Args:
            heads: n query heads.
            at: Q positions within this call for each row.
        """
        return self.softmax(self.logits(heads, at), heads, at)

    def mixed(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int]) -> Float[Tensor, "B Q n E"]:
        """a . V: the values, mixed by the rows."""
        each = self.n_heads // self.value.shape[1]
        value = self.value.to(weights.dtype)
        if list(heads) == list(range(self.n_heads)) and each > 1:
            grouped = weights.unflatten(1, (-1, each)).flatten(2, 3)
            made = (grouped @ value).reshape(*weights.shape[:3], -1)
        else:
            made = weights @ (
                value if each == 1 and len(heads) == self.n_heads else value[:, [h // each for h in heads]]
            )
        return made.transpose(1, 2)

    def own(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B Q n E"]:
        """The kernel's own output for these heads and positions."""
        rows = torch.take_along_dim(self.output, at[:, :, None, None], 1)
        return rows if list(heads) == list(range(self.n_heads)) else rows[:, :, list(heads)]

    def gap(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int], at: Int[Tensor, "B Q"]) -> float:
        """Largest difference between a . V and the kernel's own output, as a share of its largest value."""
        own = self.own(heads, at).to(weights.dtype)
        # Rows that see no key (padding) are not compared: kernels differ in them.
        seen = (weights.sum(-1) > 0).transpose(1, 2)[..., None]
        off = torch.where(seen, (self.mixed(weights, heads) - own).abs(), 0.0)
        return float(off.max()) / max(float(torch.where(seen, own.abs(), 0.0).max()), 1e-30)

    def not_finite(self) -> HeadAtlasError:
        """The error for NaN or infinity in this call."""
        layer, dtype = getattr(self.module, "layer_idx", None), str(self.output.dtype).removeprefix("torch.")
        advice = "check the weights" if dtype == "float32" else "load the model with dtype=bfloat16 (or float32)"
        where = type(self.module).__name__ + ("" if layer is None else f" in layer {layer}")
        return HeadAtlasError(f"attention of {where} must be finite, got NaN or infinity in {dtype}; {advice}")

    def check(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int], at: Int[Tensor, "B Q"]) -> None:
        """Raise `HeadAtlasError` unless all is finite and a . V equals the output of the model's own kernel."""
        gap = self.gap(weights, heads, at)
        if math.isnan(gap):
            raise self.not_finite()
        if not gap <= CLOSE.get(self.output.dtype, 3e-2):
            known = ", ".join(sorted(self.options))
            dropout = "; attention dropout is on, call model.eval()" if self.options.get("dropout") else ""
            raise HeadAtlasError(
                f"attention rows of {type(self.module).__name__} cannot be read: a . V differs from the {self.implementation} "
                f"kernel's output by {gap:.1e} of its largest value{dropout}; its options are {known}"
            )


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
