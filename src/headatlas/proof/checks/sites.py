"""Checks of every site: z is each head's own output, and setting a head to zero equals zeroing its columns of W_O.

* `sum`: the sum over heads of W_O's columns times z, plus the bias, equals the output of the projection.
* `heads`: silencing head h in the attention kernel itself sets slice h of z to zero and changes no other slice. It is the
  only check that notices a wrong number or order of heads, because it does not depend on how HeadAtlas found them.
* `zero`: the logits with one head edited to zero equal those with its columns of W_O zeroed. Both must differ from the bare
  model's logits, or the comparison would show nothing.

Every check runs on every head of every site.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from headatlas.heads import TOWERS, Head, HeadGrid, Site, Tower, ZReader, edit_heads, scale, zero
from headatlas.proof.checks.kernel import KernelCalls
from headatlas.proof.checks.result import CLOSE, SEEN, Result

Forward = Callable[[], Tensor]
"""Runs the model once on the check's inputs and gives its logits."""


MASKED = 1e20
"""Larger logits ban a token (some families never generate an image token)."""


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference as a share of the largest value; infinite where shapes, banned tokens or NaN differ."""
    if a.shape != b.shape or not torch.equal(a.abs() < MASKED, b.abs() < MASKED):
        return float("inf")
    counted = a.abs() < MASKED
    a, b = a[counted], b[counted]
    if not a.numel():
        return float("inf")
    return float((a - b).abs().max()) / max(float(a.abs().max()), float(b.abs().max()), 1e-30)


def check_sum(forward: Forward, grid: HeadGrid) -> Iterator[tuple[Site, Result]]:
    """Head-sum identity at each site: compare `sum_h W_O[:, h] z_h + b` with the output of the projection."""
    seen = watch(forward, grid)
    for site in grid.sites:
        if site not in seen:
            yield site, Result("sum", site.tower, "fails", None, f"{site.name} is not called")
            continue
        hidden, out = seen[site]
        z = site.split(hidden).flatten(0, 1)  # [n, H, D]
        flat = out.reshape(-1, out.shape[-1])
        apart = _parts(site, z)
        if apart is None:
            kind = type(site.module).__name__
            yield site, Result("sum", site.tower, "not applicable", None, f"a {kind} has no plain weight to take apart")
            continue
        yield site, _close("sum", site, difference(apart, flat))


def check_heads(forward: Forward, model: nn.Module, grid: HeadGrid) -> Iterator[tuple[Site, Result]]:
    """Check that every head of the grid is the attention kernel's head of the same number."""
    bare = {site: hidden for site, (hidden, _) in watch(forward, grid).items()}
    with KernelCalls(model, grid) as calls:
        forward()
    for site in grid.sites:
        kernel, counts = calls.kernel_of(site)
        if site not in bare or not counts:
            yield site, Result("heads", site.tower, "fails", None, f"no attention kernel is seen in {site.owner}")
        elif counts != {site.n_heads}:
            seen = ", ".join(map(str, sorted(counts)))
            yield site, Result("heads", site.tower, "fails", None, f"the kernel in {site.owner} has {seen} heads")
        else:
            why = "silencing one head in the kernel changes other slices of z than its own"
            heads = range(site.n_heads)
            result = _close(
                "heads", site, max(_leak(forward, model, grid, site, kernel, h, bare[site]) for h in heads), why
            )
            norms = _norms_over_heads(model, site)
            if result.verdict == "fails" and norms:
                with _removed(norms):
                    plain = watch(forward, grid)[site][0]
                    leak = max(_leak(forward, model, grid, site, kernel, h, plain) for h in heads)
                result = replace(_close("heads", site, leak, why), reason="without the norm over all heads before W_O")
            yield site, result


def _norms_over_heads(model: nn.Module, site: Site) -> list[nn.Module]:
    """Norms in the attention module that are as wide as all heads together: they let each head scale all others."""
    width = site.n_heads * site.d_head
    norms = [m for m in model.get_submodule(site.owner).children() if "norm" in type(m).__name__.lower()]
    return [m for m in norms if isinstance(w := getattr(m, "weight", None), Tensor) and w.numel() == width]


@contextmanager
def _removed(norms: list[nn.Module]) -> Iterator[None]:
    handles = [norm.register_forward_hook(lambda module, args, out: args[0]) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _leak(
    forward: Forward, model: nn.Module, grid: HeadGrid, site: Site, kernel: str, head: int, bare: Tensor
) -> float:
    """How much a silenced head changes other slices of z, as a share of the largest z; infinite if its own slice is not zero."""
    with KernelCalls(model, grid, (site, kernel, head)):
        silenced = watch(forward, grid)[site][0]
    if silenced.shape != bare.shape:
        return float("inf")
    before, after = site.split(bare), site.split(silenced)
    others = [h for h in range(site.n_heads) if h != head]
    own = difference(before[:, :, head], after[:, :, head])
    left = float(after[:, :, head].abs().max()) / max(float(before.abs().max()), 1e-30)
    leak = max(difference(before[:, :, others], after[:, :, others]) if others else 0.0, left)
    return leak if own > SEEN * CLOSE else float("inf")


def check_zero(forward: Forward, model: nn.Module, grid: HeadGrid) -> Iterator[tuple[Site, Result]]:
    """Compare the logits with one head edited to zero with those with its columns of W_O zeroed."""
    bare = forward()
    for site in grid.sites:
        differences, effects = [], []
        for head in range(site.n_heads):
            with edit_heads(model, grid, [zero([Head(site.layer, head, site.tower)])]):
                edited = forward()
            with columns_cut(site, [head]):
                cut = forward()
            differences.append(difference(edited, cut))
            effects.append(difference(edited, bare))
        largest = max(differences)
        weak = [h for h, effect in enumerate(effects) if effect <= SEEN * max(largest, 1e-7)]
        if largest > CLOSE:
            yield site, _close("zero", site, largest)
        elif not weak:
            yield site, Result("zero", site.tower, "holds", largest)
        elif len(weak) == site.n_heads and _unread(forward, site, bare):
            yield (
                site,
                Result("zero", site.tower, "not applicable", largest, f"{site.name} does not reach the logits"),
            )
        else:
            heads = " ".join(f"{site.tower}{site.layer}.H{h}" for h in weak)
            yield site, Result("zero", site.tower, "fails", largest, f"no effect to compare: {heads}")


def _unread(forward: Forward, site: Site, bare: Tensor) -> bool:
    """Whether strong noise on this layer's output leaves the logits unchanged, because the model reads an earlier layer."""

    def noise(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + 10 * torch.randn_like(out)

    handle = site.module.register_forward_hook(noise)
    try:
        return torch.equal(forward(), bare)
    finally:
        handle.remove()


def _close(check: str, site: Site, value: float, why: str = "differs") -> Result:
    if value <= CLOSE:
        return Result(check, site.tower, "holds", value)
    return Result(check, site.tower, "fails", value, f"{site.name}: {why} ({value:.1e})")


def watch(forward: Forward, grid: HeadGrid) -> dict[Site, tuple[Tensor, Tensor]]:
    """Record the input `[..., H*D]` and output `[..., out]` of each site's projection in its first call.

    Only the first call of a looped layer is recorded: in later calls a silenced head would show in all slices.
    """
    seen: dict[Site, tuple[Tensor, Tensor]] = {}

    def hook(site: Site) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            if site not in seen:
                seen[site] = (args[0].clone(), out.clone())

        return note

    handles = [site.module.register_forward_hook(hook(site)) for site in grid.sites]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _matrix(site: Site) -> tuple[Tensor, bool] | None:
    """W_O itself, and whether it is stored as `[in, out]`."""
    module = getattr(site.module, "linear", site.module)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        return None
    return weight, type(module).__name__ == "Conv1D"


def _parts(site: Site, z: Tensor) -> Tensor | None:
    """`sum_h W_O[:, h] z_h + b` for z `[n, H, D]`, head by head."""
    matrix = _matrix(site)
    if matrix is None:
        return None
    weight = matrix[0].T if matrix[1] else matrix[0]
    columns = weight.unflatten(1, (site.n_heads, site.d_head))  # [out, H, D]
    summed = torch.stack([z[:, h] @ columns[:, h].T for h in range(site.n_heads)]).sum(0)
    bias = getattr(getattr(site.module, "linear", site.module), "bias", None)
    return summed if bias is None else summed + bias


@contextmanager
def columns_cut(site: Site, heads: list[int]) -> Iterator[None]:
    """Within the block the columns of W_O that belong to `heads` are 0."""
    matrices = _matrix(site)
    assert matrices is not None, site.name
    weight, turned = matrices
    original = weight.detach().clone()
    with torch.no_grad():
        view = weight.T if turned else weight
        for head in heads:
            view[:, head * site.d_head : (head + 1) * site.d_head] = 0
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)


def check_no_op(forward: Forward, model: nn.Module, grid: HeadGrid) -> Result:
    """Check that hooks without effect and readers at every site leave the logits bit for bit the same."""

    bare = forward()
    towers: list[Tower] = [tower for tower in TOWERS if grid.tower(tower)]
    with ExitStack() as stack:
        stack.enter_context(edit_heads(model, grid, [scale(grid.heads(tower), 1.0) for tower in towers]))
        for tower in towers:
            stack.enter_context(ZReader(grid, tower))
        hooked = forward()
    same = torch.equal(bare, hooked) and torch.equal(bare, forward())
    value = difference(bare, hooked)
    return Result(
        "no-op", "", "holds" if same else "fails", value, "" if same else "logits are not the same bit for bit"
    )
