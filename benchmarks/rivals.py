"""The same work by other means: hooks set for every call, pyvene, nnsight, and the published step-by-step pipeline.

Each contender is a function of a prepared `Work` that gives z of every step `[N, L, H, D]` (capture) or the gold
log-probability of every step `[N]` under one condition (ablation). A library that is not installed is left out by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headatlas.vlm import VLM, Conversation
from headatlas.vlm.batch import Batch, encode


@dataclass(frozen=True)
class Work:
    """Conversations and the batches they make; `head` is (layer, head) of the condition, set to zero everywhere."""

    vlm: VLM
    chats: Sequence[Conversation]
    batches: Sequence[Batch]
    head: tuple[int, int]

    @property
    def sites(self) -> tuple[Any, ...]:
        """The language tower's."""
        return self.vlm.heads.tower("L")


def step_z(batch: Batch, z: Sequence[Tensor], row: int, turn: int) -> Tensor:
    """Mean z [L, H*D] over a step's predicting positions; z: one [B, T, H*D] a layer."""
    start, end = batch.spans[row][turn]
    return torch.stack([one[row, start - 1 : end - 1].float().mean(0) for one in z])


def all_steps(batch: Batch, z: Sequence[Tensor]) -> list[Tensor]:
    return [step_z(batch, z, row, turn) for row, spans in enumerate(batch.spans) for turn in range(len(spans))]


def gold(batch: Batch, logits: Tensor, last_only: bool = False) -> list[float]:
    """Gold log-probability of every step from full logits [B, T, V]."""
    out = []
    for row, spans in enumerate(batch.spans):
        for start, end in spans[-1:] if last_only else spans:
            part = logits[row, start - 1 : end - 1].float().log_softmax(-1)
            out.append(float(part.gather(1, batch.ids[row, start:end, None].to(part.device)).sum()))
    return out


@torch.inference_mode()
def bare(work: Work) -> None:
    for batch in work.batches:
        work.vlm.model(**batch.to(work.vlm.device, work.vlm.dtype), use_cache=False)


def hooked_pass(work: Work, batch: Batch) -> list[Tensor]:
    """One pass with a hook a site, set for it and removed after it: every site's whole input."""
    z: dict[int, Tensor] = {}
    handles = [
        site.module.register_forward_pre_hook(lambda m, args, i=i: z.update({i: args[0]}))
        for i, site in enumerate(work.sites)
    ]
    work.vlm.model(**batch.to(work.vlm.device, work.vlm.dtype))
    for handle in handles:
        handle.remove()
    return [z[i] for i in range(len(work.sites))]


@torch.inference_mode()
def hooks_capture(work: Work) -> np.ndarray:
    rows: list[Tensor] = []
    for batch in work.batches:
        rows += all_steps(batch, hooked_pass(work, batch))
    return torch.stack(rows).cpu().numpy()


@torch.inference_mode()
def hooks_ablate(work: Work) -> np.ndarray:
    layer, head = work.head
    site = work.sites[layer]
    here = slice(head * site.d_head, (head + 1) * site.d_head)

    def zero(module: Any, args: tuple[Any, ...]) -> tuple[Tensor]:
        z = args[0].clone()
        z[..., here] = 0
        return (z,)

    out: list[float] = []
    for batch in work.batches:
        handle = site.module.register_forward_pre_hook(zero)
        out += gold(batch, work.vlm.model(**batch.to(work.vlm.device, work.vlm.dtype)).logits)
        handle.remove()
    return np.array(out)


@torch.inference_mode()
def published_capture(work: Work, chats: Sequence[Conversation]) -> np.ndarray:
    """Batch size 1: every step's prompt and answer is processed and run again, and hooks are set for it."""
    rows = []
    for chat in chats:
        for turn in range(len(chat.turns)):
            work.vlm.pixels.clear()  # nothing is kept between calls
            batch = encode(work.vlm, [Conversation(chat.images, chat.turns[: turn + 1])])
            rows.append(step_z(batch, hooked_pass(work, batch), 0, turn))
    return torch.stack(rows).cpu().numpy()


@torch.inference_mode()
def published_generate(work: Work, chats: Sequence[Conversation], tokens: int = 16) -> tuple[np.ndarray, list[bool]]:
    """As the scripts of this method family do it (Cognitive Mirrors): batch size 1, every step's answer generated with hooks
    on, z taken at each forward's last position. Gives z, and which steps were answered word for word."""
    vlm, rows, exact = work.vlm, [], []
    for chat in chats:
        for turn in range(len(chat.turns)):
            vlm.pixels.clear()  # nothing is kept between calls
            opened = Conversation(chat.images, (*chat.turns[:turn], replace(chat.turns[turn], answer=None)))
            batch = encode(vlm, [opened], generation_prompt=True)
            z: dict[int, list[Tensor]] = {i: [] for i in range(len(work.sites))}
            handles = [
                site.module.register_forward_pre_hook(lambda m, args, i=i: z[i].append(args[0][0, -1]))  # noqa: B023
                for i, site in enumerate(work.sites)
            ]
            inputs = batch.to(vlm.device, vlm.dtype)
            inputs.pop("position_ids", None)
            said = vlm.model.generate(
                **inputs, do_sample=False, max_new_tokens=tokens, pad_token_id=vlm.tokenizer.pad_token_id
            )
            for handle in handles:
                handle.remove()
            rows.append(torch.stack([torch.stack(one).float().mean(0) for one in z.values()]))
            text = vlm.tokenizer.decode(said[0, batch.ids.shape[1] :], skip_special_tokens=True).strip()
            exact.append(text == chat.turns[turn].answer)
    return torch.stack(rows).cpu().numpy(), exact


def nnsight_contenders(work: Work) -> dict[str, Callable[[], np.ndarray]]:
    """`capture` and `ablate`, one trace a batch."""
    from nnsight import NNsight

    model = NNsight(work.vlm.model)

    def inner(site: Any) -> Any:
        found = model
        for part in site.name.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        return found

    modules = [inner(site) for site in work.sites]

    @torch.inference_mode()
    def capture() -> np.ndarray:
        rows: list[Tensor] = []
        for batch in work.batches:
            with model.trace(**batch.to(work.vlm.device, work.vlm.dtype)):
                z = [module.input.save() for module in modules].save()
            rows += all_steps(batch, z)
        return torch.stack(rows).cpu().numpy()

    layer, head = work.head
    d = work.sites[layer].d_head
    module = modules[layer]

    @torch.inference_mode()
    def ablate() -> np.ndarray:
        out: list[float] = []
        for batch in work.batches:
            with model.trace(**batch.to(work.vlm.device, work.vlm.dtype)):
                edited = module.input.clone()
                edited[:, :, head * d : (head + 1) * d] = 0
                module.input = edited
                logits = model.output.logits.save()
            out += gold(batch, logits)
        return np.array(out)

    return {"capture": capture, "ablate": ablate}


def pyvene_contenders(work: Work) -> dict[str, Callable[[], np.ndarray]]:
    """`capture` (collect the projections' inputs) and `ablate` (a lambda at one projection's input)."""
    import pyvene
    from pyvene.models import intervenable_base

    # It removes every forward hook of a model, those of transformers 5 too, without which Llava cannot run.
    intervenable_base.remove_forward_hooks = lambda model: None

    names = [f"{_pyvene_path(site.name)}.input" for site in work.sites]

    def collector(kept: list[Tensor]) -> Any:
        def collect(b: Tensor, s: Any) -> Tensor:
            kept.append(b)
            return b

        return collect

    kept: list[Tensor] = []
    reading = pyvene.IntervenableModel(
        [{"component": name, "intervention": collector(kept)} for name in names], model=work.vlm.model
    )

    @torch.inference_mode()
    def capture() -> np.ndarray:
        rows: list[Tensor] = []
        for batch in work.batches:
            kept.clear()
            reading(batch.to(work.vlm.device, work.vlm.dtype))
            rows += all_steps(batch, kept)
        return torch.stack(rows).cpu().numpy()

    layer, head = work.head
    d = work.sites[layer].d_head

    def zero(b: Tensor, s: Any) -> Tensor:
        b = b.clone()
        b[..., head * d : (head + 1) * d] = 0
        return b

    editing = pyvene.IntervenableModel([{"component": names[layer], "intervention": zero}], model=work.vlm.model)

    @torch.inference_mode()
    def ablate() -> np.ndarray:
        out: list[float] = []
        for batch in work.batches:
            _, after = editing(batch.to(work.vlm.device, work.vlm.dtype))
            out += gold(batch, after.logits)
        return np.array(out)

    return {"capture": capture, "ablate": ablate}


def _pyvene_path(name: str) -> str:
    """`a.layers.3.b` as pyvene writes it: `a.layers[3].b`."""
    out = ""
    for part in name.split("."):
        out += f"[{part}]" if part.isdigit() else f".{part}"
    return out[1:]


def lens_contenders(work: Work) -> dict[str, Callable[[], np.ndarray]]:
    """`capture` and `ablate` at the input of every block's output projection."""
    from transformer_lens.model_bridge import TransformerBridge

    from headatlas import reference

    where = reference.path(work.vlm.name) if work.vlm.name in reference.names() else work.vlm.name
    bridge = TransformerBridge.boot_transformers(str(where), hf_model=work.vlm.model, tokenizer=work.vlm.tokenizer)
    names = [f"blocks.{i}.attn.o.hook_in" for i in range(len(work.sites))]
    layer, head = work.head
    d = work.sites[layer].d_head

    def given(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = batch.to(work.vlm.device, work.vlm.dtype)
        return inputs["input_ids"], {
            name: inputs[name] for name in ("attention_mask", "pixel_values") if name in inputs
        }

    @torch.inference_mode()
    def capture() -> np.ndarray:
        rows: list[Tensor] = []
        for batch in work.batches:
            kept: dict[str, Tensor] = {}
            hooks = [(name, lambda z, hook: kept.update({hook.name: z})) for name in names]  # noqa: B023
            ids, more = given(batch)
            bridge.run_with_hooks(ids, fwd_hooks=hooks, **more)
            rows += all_steps(batch, [kept[name].flatten(2) for name in names])
        return torch.stack(rows).cpu().numpy()

    def zero(z: Tensor, hook: Any) -> Tensor:
        flat = z.flatten(2).clone()
        flat[..., head * d : (head + 1) * d] = 0
        return flat.reshape(z.shape)

    @torch.inference_mode()
    def ablate() -> np.ndarray:
        out: list[float] = []
        for batch in work.batches:
            ids, more = given(batch)
            logits = bridge.run_with_hooks(ids, fwd_hooks=[(names[layer], zero)], **more)
            out += gold(batch, logits)
        return np.array(out)

    return {"capture": capture, "ablate": ablate}


LIBRARIES: dict[str, Callable[[Work], dict[str, Callable[[], np.ndarray]]]] = {
    "pyvene": pyvene_contenders,
    "nnsight": nnsight_contenders,
    "TransformerLens": lens_contenders,
}
