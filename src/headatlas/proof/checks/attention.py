"""Checks of attention rows: that they are read correctly beside the model's own kernel, and edited correctly.

* `attention`: the rows of every head and query sum to 1 (less a sink's share). a . V equals the kernel's output, and z, unless
  the family gates or normalises the output before W_O. Where the family has eager code, the rows equal its weights. Reading
  leaves the logits bit for bit the same.
* `attention edit`: edits without effect leave the logits bit for bit the same. A bias on one key, and a blocked key, at one
  head of every layer give the same logits as the family's eager code with the same change at the input of its softmax.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedConfig

from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionEdit, HeadGrid, Site, Tower, edit_heads
from headatlas.heads.attention import AttentionCall, attend, block, scale_attention
from headatlas.heads.attention.sites import observed
from headatlas.proof.checks.kernel import SOFTMAX, KernelCalls
from headatlas.proof.checks.result import CLOSE, SEEN, Result
from headatlas.proof.checks.sites import Forward, difference

BETA = 1.5


def check_attention(forward: Forward, model: Any, grid: HeadGrid, tower: Tower) -> Result:
    """Compare the rows of every head and query of a tower with the kernel's output, z and the family's eager weights."""
    sites = grid.tower(tower)
    bare = forward()
    worst, remarks = 0.0, []
    rows: dict[Site, list[Tensor]] = {site: [] for site in sites}
    gated: set[Site] = set()
    outputs: dict[Site, Tensor] = {}

    def see(site: Site, call: AttentionCall) -> None:
        nonlocal worst
        heads, at = everything(call)
        weights = call.weights(heads, at)
        worst = max(worst, call.gap(weights, heads, at))
        total = weights.sum(-1)
        seen = total > 0
        sink = call.sink(heads, at) is not None
        off = torch.where(seen, total - 1, 0.0)
        worst = max(worst, float(off.max()) if sink else float(off.abs().max()))
        rows[site].append(weights)
        outputs[site] = call.output

    def z(site: Site) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            given, made = site.split(args[0]), outputs.get(site)
            if made is None or made.numel() != given.numel() or difference(given.reshape(made.shape), made) > CLOSE:
                gated.add(site)

        return hook

    handles = [site.module.register_forward_pre_hook(z(site)) for site in sites]
    try:
        with observed(model, sites, see):
            read = forward()
    finally:
        for handle in handles:
            handle.remove()
    if gated:
        remarks.append(
            f"z differs from the kernel's output in {len(gated)} of {len(sites)} layers (gate, norm or windows)"
        )
    if not torch.equal(bare, read):
        return Result("attention", tower, "fails", difference(bare, read), "reading changes the logits")
    gap = _eager_gap(forward, model, sites, rows, bare)
    if isinstance(gap, str):
        remarks.append(gap)
    else:
        worst = max(worst, gap)
    reason = "; ".join(remarks)
    if worst <= CLOSE:
        return Result("attention", tower, "holds", worst, reason)
    return Result("attention", tower, "fails", worst, f"a . V differs from the kernel's output ({worst:.1e}); {reason}")


def check_rows(forward: Forward, model: Any, grid: HeadGrid, tower: Tower) -> tuple[Result, Result]:
    """Both checks of one tower; not applicable where attention cannot be read, with the reason."""
    try:
        return check_attention(forward, model, grid, tower), check_attention_edit(forward, model, grid, tower)
    except HeadAtlasError as error:
        refused = (
            Result(check, tower, "not applicable", None, str(error)) for check in ("attention", "attention edit")
        )
        first, second = refused
        return first, second


def _eager_gap(
    forward: Forward, model: Any, sites: tuple[Site, ...], rows: dict[Site, list[Tensor]], bare: Tensor
) -> float | str:
    """The largest difference between rows and the family's eager weights, and why they cannot be compared, if so."""
    gaps: list[float] = []
    calls = {site: iter(each) for site, each in rows.items()}

    def see(site: Site, call: AttentionCall) -> None:
        own, read = call.own_weights, next(calls[site], None)
        if own is not None and read is not None and own.shape == read.shape:
            seen = read.sum(-1, keepdim=True) > 0
            gaps.append(float(torch.where(seen, (own - read).abs(), 0.0).max()))

    try:
        with eager(model), observed(model, sites, see):
            apart = difference(forward(), bare)
    except Exception as error:
        return f"no eager run to compare with: {type(error).__name__}"
    if apart > CLOSE:
        return f"the bare model's eager logits differ by {apart:.1e} from its own"
    return max(gaps) if gaps else "no eager weights to compare with"


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Within the block the model runs its own eager code."""
    named = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in named if isinstance(config, PreTrainedConfig)}
    before = [(config, config.__dict__.get("_attn_implementation_internal")) for config in configs.values()]
    for config, _ in before:
        config.__dict__["_attn_implementation_internal"] = "eager"
    try:
        yield
    finally:
        for config, value in before:
            config.__dict__["_attn_implementation_internal"] = value


def everything(call: AttentionCall) -> tuple[list[int], Tensor]:
    """Every head, and every query position of a call."""
    at = torch.arange(call.length, device=call.query.device).expand(call.query.shape[0], -1)
    return list(range(call.n_heads)), at


def check_attention_edit(forward: Forward, model: Any, grid: HeadGrid, tower: Tower) -> Result:
    """Compare attention edits of one head in every layer with the same change at the input of the family's eager softmax."""
    sites = grid.tower(tower)
    heads = [f"{tower}{site.layer}.H{site.layer % site.n_heads}" for site in sites]
    bare = forward()
    key = _seen_key(forward, model, sites)
    nothing = [
        attend(heads, (), 2.0),
        attend(heads, (key,), 0.0),
        scale_attention(heads, (key,), 1.0),
        block(heads, ()),
    ]
    with edit_heads(model, grid, nothing):
        if not torch.equal(bare, forward()):
            return Result("attention edit", tower, "fails", None, "edits without effect change the logits")
    try:
        with eager(model):
            apart = difference(forward(), bare)
    except Exception as error:
        return Result("attention edit", tower, "not applicable", None, f"no eager run: {type(error).__name__}")
    if apart > CLOSE:
        reason = f"the bare model's eager logits differ by {apart:.1e} from its own"
        return Result("attention edit", tower, "not applicable", None, reason)
    gaps, effects = [], []
    for edit in (attend(heads, (key,), BETA), scale_attention(heads, (key,), 0.5), block(heads, (key,))):
        with edit_heads(model, grid, _width(edit, forward, model, sites)):
            edited = forward()
        with eager(model), _SoftmaxEdit(model, grid, sites, edit, key) as reference:
            wanted = forward()
        if reference.shifted and edit.kind == "scale":
            continue  # the softmax gets something other than the attention logits
        if not reference.done:
            return Result("attention edit", tower, "not applicable", None, "no eager softmax to compare with")
        gaps.append(difference(edited, wanted))
        effects.append(difference(edited, bare))
    gap = max(gaps)
    if gap > CLOSE:
        return Result("attention edit", tower, "fails", gap, f"differs from the edited eager softmax ({gap:.1e})")
    if min(effects) <= SEEN * max(gap, 1e-7):
        return Result("attention edit", tower, "not applicable", gap, f"no effect to compare ({min(effects):.1e})")
    return Result("attention edit", tower, "holds", gap)


def _width(edit: AttentionEdit, forward: Forward, model: Any, sites: tuple[Site, ...]) -> list[AttentionEdit]:
    """The edit as one edit per layer: outside the language model, layers differ in their number of keys."""
    if sites[0].tower == "L":
        return [edit]
    widths: dict[Site, int] = {}
    with observed(model, sites, lambda site, call: widths.update({site: call.n_keys})):
        forward()
    edits = []
    for site, head in zip(sites, edit.heads, strict=True):
        mask = torch.zeros(widths[site], dtype=torch.bool)
        mask[edit.keys[0]] = True
        edits.append(AttentionEdit(type(edit.heads)([head]), edit.kind, mask, edit.amount, edit.others, edit.name))
    return edits


def _seen_key(forward: Forward, model: Any, sites: tuple[Site, ...]) -> int:
    """A key that the last query position of every layer sees."""
    seen: list[Tensor] = []

    def see(site: Site, call: AttentionCall) -> None:
        heads, at = everything(call)
        seen.append((call.weights(heads, at)[0, :, -1] > 0).all(0))

    with observed(model, sites, see):
        forward()
    width = min(len(keys) for keys in seen)
    shared = torch.stack([keys[:width] for keys in seen]).all(0).nonzero()
    return int(shared[len(shared) // 2]) if len(shared) else 0


class _SoftmaxEdit(TorchFunctionMode):
    """Applies an edit to the input of the softmax that eager code calls, at head `layer % n_heads` of each layer."""

    def __init__(
        self, model: nn.Module, grid: HeadGrid, sites: tuple[Site, ...], edit: AttentionEdit, key: int
    ) -> None:
        super().__init__()
        self.done = self.shifted = False
        self._edit, self._key, self._sites = edit, key, set(sites)
        self._inside = KernelCalls(model, grid)

    def __enter__(self) -> "_SoftmaxEdit":
        self._inside.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._inside.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`, a softmax of an edited layer with its input changed."""
        kwargs = kwargs or {}
        site = self._inside.current
        logits = args[0] if args else None
        if site is None or site not in self._sites or func not in SOFTMAX or not isinstance(logits, Tensor):
            return func(*args, **kwargs)
        if logits.dim() != 4 or logits.shape[1] != site.n_heads:
            return func(*args, **kwargs)
        self.done = True
        self.shifted |= bool((logits.amax(-1) == 0).all())
        weights = func(self._edited(site, logits), *args[1:], **kwargs)
        return torch.nan_to_num(weights)  # a query whose only key is blocked gets no weights

    def _edited(self, site: Site, logits: Tensor) -> Tensor:
        head, key = site.layer % site.n_heads, self._key
        changed = logits.clone()
        old = logits[:, head, :, key]
        new = {"add": old + self._edit.amount, "scale": old * self._edit.amount, "block": old - torch.inf}[
            self._edit.kind
        ]
        masked = old < torch.finfo(torch.float16).min
        changed[:, head, :, key] = torch.where(masked, old, new)
        return changed
