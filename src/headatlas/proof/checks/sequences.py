"""Checks of whole runs under an edit: padded rows, decoding with a cache, and the attention kernel in use.

* `ragged left`, `ragged right`: two rows of different length in one padded batch, each with its own edit, give the same logits
  as each row alone.
* `cache`: greedy decoding of several tokens under an edit gives the same logits and tokens with a KV cache as without.
* `kernel`: the same calls of the attention kernel are made with hooks as without, and the configuration still names it.

If the *bare* model already gives different logits (because it ignores padding, for example), a comparison under an edit cannot
test the edit: the check is then not applicable, and the reason names the bare model's difference.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from headatlas.heads import Edit, HeadGrid, HeadSet, edit_heads, scale, zero
from headatlas.proof.checks.kernel import KernelCalls
from headatlas.proof.checks.result import CLOSE, SEEN, Result
from headatlas.proof.checks.sites import difference
from headatlas.proof.inputs import InputMaker, Inputs

NEW_TOKENS = 4


def two_edits(grid: HeadGrid) -> tuple[Edit, Edit]:
    """Different edits of the first and the last head of every layer of the language model."""
    sites = grid.tower("L") + grid.tower("X")
    first = HeadSet(f"{s.tower}{s.layer}.H0" for s in sites)
    last = HeadSet(f"{s.tower}{s.layer}.H{s.n_heads - 1}" for s in sites)
    return zero(first), scale(last, -1.0)


def check_ragged(model: nn.Module, grid: HeadGrid, maker: InputMaker, side: str) -> Result:
    """Compare two rows padded on `side`, each under its own edit, with each row alone under that edit."""
    name = f"ragged {side}"
    edits = two_edits(grid)
    batch = maker((0, 1), side)
    if not maker.pads_text:
        return Result(name, "", "not applicable", None, "the decoder reads a prefix of fixed length")
    tried: list[float] = []
    for positions in (False, True):
        if positions and not maker.takes_positions:
            break
        inputs = with_positions(batch) if positions else batch
        try:
            bare = _rows_differ(model, grid, maker, inputs, side, (None, None))
        except Exception as error:  # a family may not support this padding
            return Result(name, "", "not applicable", None, f"the bare model refuses: {error_text(error)}")
        tried.append(bare)
        if bare <= CLOSE:
            edited = _rows_differ(model, grid, maker, inputs, side, edits)
            effect = _effect(model, grid, inputs, edits)
            remark = "with position_ids" if positions else ""
            if effect <= SEEN * max(edited, 1e-7):
                return Result(name, "", "fails", edited, f"the edits have no effect to compare ({effect:.1e})")
            return Result(name, "", "holds" if edited <= CLOSE else "fails", edited, remark)
    return Result(name, "", "not applicable", None, f"the bare model's own rows differ by {min(tried):.1e} when padded")


def with_positions(inputs: Inputs) -> Inputs:
    """The same inputs with every row's positions counted from its first real token."""
    return {**inputs, "position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}


def _rows_differ(
    model: Any, grid: HeadGrid, maker: InputMaker, batch: Inputs, side: str, edits: Sequence[Edit | None]
) -> float:
    """The largest difference between each row in the batch and the same row alone."""
    with _edited(model, grid, [[e] if e else [] for e in edits]):
        together = model(**batch).logits
    lengths = maker.lengths()
    worst = 0.0
    for row, edit in enumerate(edits):
        with _edited(model, grid, [edit] if edit else []):
            alone = model(**maker([row])).logits
        if maker.encoder_decoder:
            part = together[row : row + 1]
        else:
            extra = alone.shape[1] - lengths[row]  # an image that is put in front of the text
            start = together.shape[1] - alone.shape[1] if side == "left" else 0
            part = together[row : row + 1, start : start + alone.shape[1]]
            part, alone = part[:, extra:], alone[:, extra:]
        worst = max(worst, difference(part, alone))
    return worst


def _effect(model: Any, grid: HeadGrid, batch: Inputs, edits: Sequence[Edit]) -> float:
    bare = model(**batch).logits
    with _edited(model, grid, [[edit] for edit in edits]):
        return min(difference(a, b) for a, b in zip(bare, model(**batch).logits, strict=True))


def _edited(model: nn.Module, grid: HeadGrid, edits: Any) -> Any:
    return edit_heads(model, grid, edits) if any(edits) else nullcontext()


def check_cache(model: Any, grid: HeadGrid, maker: InputMaker) -> Result:
    """Compare greedy decoding under an edit with a cache and without."""
    inputs = maker([0])
    if not hasattr(model, "generate") or not model.can_generate():
        return Result("cache", "", "not applicable", None, "the family does not generate tokens one by one")
    edit, banned = two_edits(grid)[0], maker.special_tokens
    try:
        bare_tokens, bare = decode(model, inputs, True, banned)
        bare_again, bare_uncached = decode(model, inputs, False, banned)
    except Exception as error:
        return Result("cache", "", "not applicable", None, f"the bare model does not generate: {error_text(error)}")
    bare_gap = difference(bare, bare_uncached)
    if bare_gap > CLOSE or not torch.equal(bare_tokens, bare_again):
        return Result(
            "cache", "", "not applicable", None, f"the bare model differs by {bare_gap:.1e} with its own cache"
        )
    with edit_heads(model, grid, [edit]):
        tokens, cached = decode(model, inputs, True, banned)
        again, uncached = decode(model, inputs, False, banned)
    gap = difference(cached, uncached)
    if difference(cached[:, :1], bare[:, :1]) <= SEEN * max(gap, 1e-7):
        return Result("cache", "", "fails", gap, "the edit has no effect to compare")
    same = gap <= CLOSE and torch.equal(tokens, again)
    return Result("cache", "", "holds" if same else "fails", gap, "" if same else "logits or tokens differ")


def decode(model: Any, inputs: Inputs, cache: bool, banned: list[int]) -> tuple[Tensor, Tensor]:
    """`NEW_TOKENS` greedy tokens, none of them `banned`, and the raw logits `[B, NEW_TOKENS, vocabulary]`."""
    start = {"decoder_start_token_id": int(inputs["decoder_input_ids"][0, 0])} if "decoder_input_ids" in inputs else {}
    out = model.generate(
        **inputs,
        **start,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        use_cache=cache,
        suppress_tokens=banned,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return out.sequences[:, -NEW_TOKENS:], torch.stack(out.logits, dim=1)


def check_kernel(model: Any, grid: HeadGrid, inputs: Inputs) -> Result:
    """Check that the model uses the same attention kernel under an edit as without."""
    before = _kernels(model)
    with KernelCalls(model, grid) as bare:
        model(**inputs)
    with edit_heads(model, grid, [two_edits(grid)[0]]), KernelCalls(model, grid) as edited:
        model(**inputs)
    if before != _kernels(model):
        return Result("kernel", "", "fails", None, f"the configuration changed from {before} to {_kernels(model)}")
    if bare.calls != edited.calls:
        return Result("kernel", "", "fails", None, "other kernel calls with hooks than without")
    eager = [site for site in grid.sites if bare.kernel_of(site)[0] != "sdpa"]
    if len(eager) == len(grid.sites):
        return Result("kernel", "", "holds", 0.0, "the family has no SDPA in transformers: eager, as without hooks")
    where = ", ".join(sorted({site.tower for site in eager}))
    return Result("kernel", "", "holds", 0.0, f"sdpa; eager in {where}, as without hooks" if eager else "sdpa")


def _kernels(model: Any) -> dict[str, str]:
    parts = {name: getattr(m, "config", None) for name, m in model.named_modules() if hasattr(m, "config")}
    return {name: getattr(config, "_attn_implementation", "") for name, config in parts.items()}


def error_text(error: BaseException) -> str:
    """One line of an error, short enough for a table."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{type(error).__name__}: {text[:160]}"
