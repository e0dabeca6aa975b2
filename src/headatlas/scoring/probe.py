"""The paper's probe on tensors: many copies trained at once, and their attributions in closed form.

The probe (arXiv 2603.20662): p_j = W x_j + b (64 numbers per head, W shared by all heads), the p of all heads concatenated,
512 hidden units, ReLU, dropout 0.3, one logit per function.

For speed:
* W is linear and shared, so hidden = relu(sum_j (U_j W) x_j + bias). Where x is narrower than 64, computing U_j W first costs
  less than projecting every sample; gradients still reach U and W. `folded` probes train the product A_j = U_j W itself, from an
  initialisation of the same spread. Where x has at most 64 numbers per head, every matrix A_j is such a product, so the probe is
  the same family of functions with a quarter of the parameters; only the path of AdamW differs.
* Folded probes are trained over the principal axes of the samples that carry 99.9 % of their variance (`principal_axes`): at
  most as many as there are samples (100,000 numbers become a few hundred in a 7B model). AdamW then needs fewer epochs (on
  ref-llava with 480 questions the held-out loss halves). Along the other axes a probe gives 0.
* A few probes are trained together, so that weights, gradients and AdamW's moments stay in the processor's cache. All probes
  see the same batches and dropout masks; their hidden units are independent, so each trains as it would alone.
* There is one ReLU layer, so the gradient along the straight path from a baseline changes only where a unit switches. The mean
  gradient of a unit is the share of the path on which it is active, so integrated gradients are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as nnf

from headatlas.progress import Progress

PROJECTION = 64
HIDDEN = 512
DROPOUT = 0.3
VARIANCE = 0.999
_PARAMETERS_AT_ONCE = 400_000
"""Parameters trained together; each takes 16 bytes with its gradient and AdamW's moments."""


@dataclass
class Probes:
    """R trained probes over J heads with I inputs each and C classes; float32.

    Folded probes have no `w` and `b`: their `u` is U W, [R, K, J*I], or [R, K, Q] over the coordinates of `basis`, and `c` is
    the whole hidden bias.
    """

    w: Float[Tensor, "R P I"] | None
    b: Float[Tensor, "R P"] | None
    u: Float[Tensor, "R K _"]
    c: Float[Tensor, "R K"]
    v: Float[Tensor, "R C K"]
    d: Float[Tensor, "R C"]
    basis: Float[Tensor, "JI Q"] | None = None

    @property
    def parameters(self) -> list[Tensor]:
        """All parameter tensors."""
        return [part for part in self.fields if part is not None]

    @property
    def fields(self) -> list[Any]:
        """w, b, u, c, v, d."""
        return [self.w, self.b, self.u, self.c, self.v, self.d]

    def inner(self, x: Float[Tensor, "N J I"]) -> Float[Tensor, "N _"]:
        """The inputs of folded weights: x, or its coordinates in `basis`."""
        return x.flatten(1) if self.basis is None else x.flatten(1) @ self.basis

    def folded(self) -> tuple[Tensor, Tensor]:
        """(U W) as [R, K, J*I], or over the coordinates of `basis`, and the hidden bias at x = 0 as [R, K]."""
        if self.w is None or self.b is None:
            return self.u, self.c
        r, k, _ = self.u.shape
        p = self.w.shape[1]
        heads = self.u.reshape(r, -1, p)
        weight = torch.bmm(heads, self.w).reshape(r, k, -1)
        bias = self.c + torch.bmm(heads, self.b[:, :, None]).reshape(r, k, -1).sum(-1)
        return weight, bias

    def hidden(self, x: Float[Tensor, "N J I"]) -> Float[Tensor, "R N K"]:
        """Hidden units before the ReLU."""
        r = self.u.shape[0]
        n, j, i = x.shape
        if self.w is None or self.b is None or i < PROJECTION:
            weight, bias = self.folded()
            inner = self.inner(x)
            return torch.baddbmm(bias[:, None], inner.expand(r, *inner.shape), weight.transpose(1, 2))
        p = torch.matmul(x.reshape(1, n * j, i), self.w.transpose(1, 2)) + self.b[:, None]
        return torch.baddbmm(self.c[:, None], p.reshape(r, n, -1), self.u.transpose(1, 2))

    def logits(self, x: Float[Tensor, "N J I"], keep: Float[Tensor, "N K"] | None = None) -> Float[Tensor, "R N C"]:
        """Logits; `keep` is a dropout mask for all probes, already divided by the share kept."""
        active = torch.relu(self.hidden(x))
        if keep is not None:
            active = active * keep
        return torch.baddbmm(self.d[:, None], active, self.v.transpose(1, 2))


def new_probes(n_heads: int, width: int, classes: int, seeds: list[int]) -> Probes:
    """Probes with torch's usual initialisation of `Linear`, one per seed; each depends on its own seed only."""
    shapes = [
        ((PROJECTION, width), width),
        ((HIDDEN, n_heads * PROJECTION), n_heads * PROJECTION),
        ((classes, HIDDEN), HIDDEN),
    ]
    drawn: list[list[Tensor]] = [[] for _ in range(6)]
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for layer, (shape, fan_in) in enumerate(shapes):
            bound = fan_in**-0.5
            drawn[2 * layer].append((torch.rand(shape, generator=generator) * 2 - 1) * bound)
            drawn[2 * layer + 1].append((torch.rand(shape[0], generator=generator) * 2 - 1) * bound)
    return Probes(*[torch.stack(parts) for parts in drawn])


def new_folded(numbers: int, n_heads: int, width: int, classes: int, seeds: list[int]) -> Probes:
    """Folded probes over `numbers` inputs, initialised with the spread of U W and the hidden bias of `new_probes`."""
    weight = 1 / (3 * (n_heads * width) ** 0.5)
    bias = (1 / (9 * width) + 1 / (3 * PROJECTION * n_heads)) ** 0.5
    drawn: list[list[Tensor]] = [[] for _ in range(4)]
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        drawn[0].append(torch.randn(HIDDEN, numbers, generator=generator) * weight)
        drawn[1].append(torch.randn(HIDDEN, generator=generator) * bias)
        for part, shape in ((2, (classes, HIDDEN)), (3, (classes,))):
            drawn[part].append((torch.rand(shape, generator=generator) * 2 - 1) * HIDDEN**-0.5)
    return Probes(None, None, *[torch.stack(parts) for parts in drawn])


@torch.no_grad()
def principal_axes(x: Float[Tensor, "N J I"], share: float = VARIANCE) -> Float[Tensor, "JI Q"]:
    """Orthonormal axes, the largest first, that carry `share` of the samples' squares; none beyond their span."""
    flat = x.flatten(1)
    few = len(flat) < flat.shape[1]
    values, vectors = torch.linalg.eigh((flat @ flat.T if few else flat.T @ flat).double())  # ascending
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    n = int((values.cumsum(0) < share * values.sum()).sum()) + 1
    n = max(1, min(n, int((values > values[0] * 1e-6).sum())))
    axes = vectors[:, :n]
    return flat.T @ (axes / values[:n].sqrt()).float() if few else axes.float().contiguous()


def loss(logits: Float[Tensor, "R N C"], labels: Bool[Tensor, "R N C"], multi: bool) -> Float[Tensor, " R"]:
    """Cross-entropy, or binary cross-entropy averaged over classes when steps may need several; mean over N."""
    if multi:
        return nnf.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean((1, 2))
    return nnf.cross_entropy(logits.transpose(1, 2), labels.float().argmax(-1), reduction="none").mean(1)


def train(
    x: Float[Tensor, "N J I"],
    labels: Bool[Tensor, "R N C"],
    *,
    seeds: list[int],
    epochs: int,
    lr: float,
    batch_size: int,
    folded: tuple[int, int] | None = None,
    after_epoch: Callable[[int, Probes], None] | None = None,
    progress: Progress | None = None,
) -> Probes:
    """Train R probes on the same inputs, each with its own labels and seed (AdamW, weight decay 0.01).

    All of them see the same batches in the same order under the same dropout masks; a step of AdamW is elementwise and the
    losses are summed, so each trains as it would alone. `folded`: (J, I) of folded probes, by which they are initialised; x may
    have other axes (`principal_axes`). `after_epoch(epoch, probes)` is called for each chunk of probes, `progress`
    after each epoch.
    """
    n, j, width = x.shape
    classes = labels.shape[2]
    multi = bool((labels.sum(-1) != 1).any())
    each = HIDDEN * j * (width if folded else PROJECTION) + PROJECTION * width + HIDDEN * classes
    at_once = max(1, _PARAMETERS_AT_ONCE // each)
    done: list[Probes] = []
    chunks = range(0, len(seeds), at_once)
    for number, start in enumerate(chunks):
        some = slice(start, start + at_once)
        probes = (
            new_folded(j * width, *folded, classes, seeds[some])
            if folded
            else new_probes(j, width, classes, seeds[some])
        )
        for tensor in probes.parameters:
            tensor.requires_grad_(True)
        optimiser = torch.optim.AdamW(probes.parameters, lr=lr, weight_decay=0.01, fused=True)
        order_rng = torch.Generator().manual_seed(seeds[0])
        drop_rng = np.random.default_rng(seeds[0] + 1)
        for epoch in range(epochs):
            order = torch.randperm(n, generator=order_rng)
            for batch in order.split(batch_size):
                optimiser.zero_grad()
                loss(
                    probes.logits(x[batch], _mask(len(batch), drop_rng)), labels[some][:, batch], multi
                ).sum().backward()
                optimiser.step()
            if after_epoch is not None:
                with torch.no_grad():
                    after_epoch(epoch, probes)
            if progress is not None:
                progress("training probes", number * epochs + epoch + 1, len(chunks) * epochs)
        for tensor in probes.parameters:
            tensor.requires_grad_(False)
        done.append(probes)
    columns = zip(*[probes.fields for probes in done], strict=True)
    joined: list[Any] = [None if parts[0] is None else torch.cat(parts) for parts in columns]
    return Probes(*joined)


def _mask(n: int, rng: np.random.Generator) -> Float[Tensor, "n K"]:
    """Which hidden units a batch keeps, divided by the share kept."""
    mask = rng.integers(0, 2**16, (n, HIDDEN), dtype=np.uint16) >= round(DROPOUT * 2**16)
    return torch.from_numpy(mask).float() / (1 - DROPOUT)


def one(probes: Probes, r: int) -> Probes:
    """Probe number `r` alone (a view)."""
    views: list[Any] = [None if tensor is None else tensor[r : r + 1] for tensor in probes.fields]
    return Probes(*views, basis=probes.basis)


@torch.no_grad()
def attribute(
    probes: Probes,
    r: int,
    x: Float[Tensor, "N J I"],
    row: Int[np.ndarray, " M"],
    label: Int[np.ndarray, " M"],
    *,
    integrated: bool,
    inner: Float[Tensor, "N _"] | None = None,
    chunk: int = 2048,
) -> Float[Tensor, "M J"]:
    """Attribution of logit `label[m]` of sample `row[m]` to every head, by probe `r`, divided by 64 as in the paper.

    `integrated=False`: gradient x activation at the projected feature, (1/64) sum_d dlogit/dp_jd p_jd.
    `integrated=True`: exact integrated gradients from x = 0 (the mean head, when x is centred): 64 times the sum over
    heads is the logit minus the logit at x = 0. `inner`: `probes.inner(x)`, where it is already computed.
    """
    single = one(probes, r)
    weight, at_zero = (tensor[0] for tensor in single.folded())  # [K, J*I] or [K, Q], [K]
    inner = probes.inner(x) if inner is None else inner
    n_heads, width = x.shape[1:]
    if not integrated and single.b is None:
        raise ValueError(
            "gradient x activation needs the projection's bias, which folded probes do not keep apart from the hidden bias"
        )
    from_bias = None
    if single.b is not None:
        from_bias = (single.u[0].reshape(-1, PROJECTION) @ single.b[0]).reshape(HIDDEN, n_heads)  # U_j b
    out = torch.empty(len(row), n_heads)
    for start in range(0, len(row), chunk):
        some = slice(start, start + chunk)
        before = inner[torch.as_tensor(row[some])] @ weight.T + at_zero
        on = (before > 0).float()
        if integrated:
            rise = before - at_zero
            tiny = rise.abs() < 1e-9
            share = (before.relu() - at_zero.relu()) / torch.where(tiny, torch.ones_like(rise), rise)
            on = torch.where(tiny, on, share)
        gradient = on * single.v[0][torch.as_tensor(label[some])]  # [m, K]
        back = gradient @ weight
        back = back if single.basis is None else back @ single.basis.T
        part = (back.reshape(-1, n_heads, width) * x[torch.as_tensor(row[some])]).sum(-1)
        if not integrated and from_bias is not None:
            part = part + gradient @ from_bias
        out[some] = part / PROJECTION
    return out
