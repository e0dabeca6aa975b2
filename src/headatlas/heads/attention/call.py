"""One call of an attention function, and its attention rows computed from the same tensors.

a[h](q, .) = softmax over k of (q_h . k_g(h) * scale, capped, + bias + mask), with the sink's logit in the denominator where the
family has one. Only the requested rows are computed: `O(rows x keys)`, in float32 (or float64). The meaning of a missing mask
depends on the implementation: `sdpa` and flash kernels are causal without one, eager code is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.linalg import vector_norm

from headatlas.errors import HeadAtlasError
from headatlas.heads.attention.agree import Kernel, share
from headatlas.heads.attention.pick import pick
from headatlas.printing import brief

KEPT_CELLS = 1 << 26
"""Most numbers of masks that are kept for later layers (256 MB); above it they are computed again."""


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
        chosen = pick(self.chosen, 1, heads)[:, :, None]
        return (
            chosen.expand(-1, -1, at.shape[1]) if self.queries is None else chosen & self.queries.gather(1, at)[:, None]
        )


@dataclass(frozen=True, eq=False)
class MaskRows:
    """Some rows of a call's mask.

    Attributes:
        additive: `[B, n or 1, Q, K]`, 0 or -infinity or what the model adds; None if every key is seen.
        blind: rows without any key, `[B, n or 1, Q, 1]`; None if there is no mask.
    """

    additive: Float[Tensor, "B n Q K"] | None
    blind: Bool[Tensor, "B n Q 1"] | None
    _left_out: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def left_out(self, real: Bool[Tensor, "B Q"]) -> Bool[Tensor, "B n Q 1"]:
        """Rows that are not real, or see no key."""
        if not self._left_out or self._left_out[0][0] is not real:
            unreal = ~real[:, None, :, None]
            self._left_out[:] = [(real, unreal if self.blind is None else unreal | self.blind)]
        return self._left_out[0][1]


@dataclass(eq=False)
class Masks:
    """The mask rows of calls that share a mask and query positions, such as the layers of one forward, computed once."""

    _known: dict[tuple[Any, ...], tuple[Any, MaskRows]] = field(default_factory=dict)
    _cells: int = 0

    def of(self, call: AttentionCall, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> MaskRows:
        """The mask rows of a call."""
        own = tuple(heads) if isinstance(call.mask, Tensor) and call.mask.dim() == 4 and call.mask.shape[1] > 1 else ()
        packed = call.options.get("cu_seq_lens_k", call.options.get("cu_seqlens"))
        told = (
            call.options.get("is_causal"),
            getattr(call.module, "is_causal", True),
            call.options.get("sliding_window"),
        )
        # Tensors are kept with their rows, so that no other can get their number.
        key = (id(call.mask), id(at), id(packed), own, call.implementation, call.length, call.n_keys, call.dtype, told)
        if key in self._known:
            return self._known[key][1]
        made = call.masked(heads, at)
        self._cells += 0 if made.additive is None else made.additive.numel()
        if self._cells <= KEPT_CELLS:
            self._known[key] = (call.mask, at, packed), made
        return made

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._cells = 0


ARGUMENTS = ("module", "query", "key", "value", "attention_mask")
"""What transformers gives every attention function first, in this order."""


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
        options = {name: value for name, value in given.items() if name not in ARGUMENTS and value is not None}
        module, query, key, value, mask = (given[name] for name in ARGUMENTS)
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
        query = at_places(self.query, at, 2)  # [B, H, Q, D]
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
            keys = _wide(pick(self.key, 1, [h // each for h in heads]), self.dtype)
            return pick(query, 1, heads) @ keys.transpose(2, 3)
        grouped = query.unflatten(1, (groups, each)).flatten(2, 3)  # [B, G, each*Q, D]
        made = (grouped @ _wide(self.key, self.dtype).transpose(2, 3)).reshape(query.shape[0], self.n_heads, -1, n_keys)
        return pick(made, 1, heads)

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
        if table.shape[1] > 1:
            table = pick(table, 1, heads)
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
        return pick(sink.reshape(-1), 0, heads).to(self.dtype)[None, :, None, None].expand(shape)

    def masked(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> MaskRows:
        """The mask of these rows, and which of them see no key."""
        mask = self.mask_rows(heads, at)
        return MaskRows(mask, None if mask is None else (mask == -torch.inf).all(-1, keepdim=True))

    def softmax(
        self,
        logits: Float[Tensor, "B n Q K"],
        heads: Sequence[int],
        at: Int[Tensor, "B Q"],
        masks: Masks | None = None,
        finite: bool = False,
    ) -> Float[Tensor, "B n Q K"]:
        """Weights of logits as `logits` gives them, under the call's own mask. They sum to 1 less the sink's share; a row
        without any key left is 0.

        Args:
            logits: of chosen heads at the query positions `at`.
            heads, at: see `weights`.
            masks: mask rows that other calls have computed.
            finite: whether no logit is -infinity, so that the mask alone says which rows have no key.
        """
        rows = self.masked(heads, at) if masks is None else masks.of(self, heads, at)
        if rows.additive is not None:
            logits = logits + rows.additive
        sink = self.sink(heads, at)
        if sink is not None:
            return torch.cat([logits, sink], -1).softmax(-1)[..., :-1]
        weights = logits.softmax(-1)
        blind = rows.blind if finite else (logits == -torch.inf).all(-1, keepdim=True)
        return weights if blind is None else weights.masked_fill(blind, 0.0)

    def weights(
        self, heads: Sequence[int], at: Int[Tensor, "B Q"], masks: Masks | None = None
    ) -> Float[Tensor, "B n Q K"]:
        """Attention rows of chosen heads at the query positions `at` of each batch row.

        Args:
            heads: n query heads.
            at: Q positions within this call for each row.
            masks: mask rows that other calls have computed; computed again without it.
        """
        finite = not self.changes and self.options.get("position_bias") is None
        return self.softmax(self.logits(heads, at), heads, at, masks, finite)

    def mixed(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int]) -> Float[Tensor, "B Q n E"]:
        """a . V: the values, mixed by the rows."""
        each = self.n_heads // self.value.shape[1]
        value = _wide(self.value, weights.dtype)
        if list(heads) == list(range(self.n_heads)) and each > 1:
            grouped = weights.unflatten(1, (-1, each)).flatten(2, 3)
            made = (grouped @ value).reshape(*weights.shape[:3], -1)
        else:
            made = weights @ pick(value, 1, [h // each for h in heads])
        return made.transpose(1, 2)

    def own(self, heads: Sequence[int], at: Int[Tensor, "B Q"]) -> Float[Tensor, "B Q n E"]:
        """The kernel's own output for these heads and positions."""
        return pick(at_places(self.output, at, 1), 2, heads)

    def largest(
        self,
        weights: Float[Tensor, "B n Q K"],
        heads: Sequence[int],
        at: Int[Tensor, "B Q"],
        masks: Masks | None = None,
        real: Bool[Tensor, "B Q"] | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The largest difference between a . V and the kernel's own output, and the largest value of that, on the device.

        Args:
            weights: of these heads and positions.
            heads, at, masks: see `weights`.
            real: rows that are compared, and must be finite: the difference is NaN if one of them is not. None: those that
                are finite.
        """
        with torch.no_grad():
            # Rows that see no key (padding) are not compared: kernels differ in them.
            if real is None:
                left_out = ~(weights.sum(-1, keepdim=True) > 0)
            else:
                left_out = (self.masked(heads, at) if masks is None else masks.of(self, heads, at)).left_out(real)
            own = self.own(heads, at).to(weights.dtype).masked_fill(left_out.transpose(1, 2), 0.0)
            made = self.mixed(weights, heads).masked_fill(left_out.transpose(1, 2), 0.0)
            return vector_norm(made - own, torch.inf), vector_norm(own, torch.inf)

    def gap(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int], at: Int[Tensor, "B Q"]) -> float:
        """Largest difference between a . V and the kernel's own output, as a share of its largest value."""
        off, value = self.largest(weights, heads, at)
        return share(float(off), float(value))

    @property
    def kernel(self) -> Kernel:
        """What messages say about the call, without its tensors."""
        return Kernel(
            type(self.module).__name__,
            getattr(self.module, "layer_idx", None),
            self.implementation,
            self.output.dtype,
            tuple(sorted(self.options)),
            bool(self.options.get("dropout")),
        )

    def check(self, weights: Float[Tensor, "B n Q K"], heads: Sequence[int], at: Int[Tensor, "B Q"]) -> None:
        """Raise `HeadAtlasError` unless all is finite and a . V equals the output of the model's own kernel."""
        self.kernel.require(self.gap(weights, heads, at))


def at_places(values: Tensor, at: Int[Tensor, "B Q"], axis: int) -> Tensor:
    """`values [B, ...]` at the positions `at` of each row along `axis`."""
    shape = [1] * values.dim()
    shape[0], shape[axis] = at.shape
    wanted = list(values.shape)
    wanted[axis] = at.shape[1]
    return values.gather(axis, at.view(shape).expand(wanted))


def _wide(values: Tensor, dtype: torch.dtype) -> Tensor:
    """In another dtype, laid out as products need it, with one copy."""
    return values.to(dtype, memory_format=torch.contiguous_format)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
