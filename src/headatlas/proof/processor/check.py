"""Check a family's own processor with CogVSR conversations about pictures of two sizes.

A batch's image positions are compared with those at which the embeddings that reach the language model are not those of the
token ids.
"""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, ZReader, zero
from headatlas.printing import brief
from headatlas.proof.checks.result import CLOSE, SEEN
from headatlas.proof.checks.sequences import error_text
from headatlas.proof.processor.build import tiny_processor_of, write_checkpoint
from headatlas.vlm import VLM, Batch, Conversation, Turn, conversation, encode, generate, load_vlm, read
from headatlas.vlm.forward import logits_at

SIZES = ((112, 112), (196, 84))
"""Width and height in pixels of the two pictures in the table."""


@dataclass
class ProcessorReport:
    """The results of one family's processor checks.

    Attributes:
        processor: its class.
        placeholder: the token that stands for a piece of a picture, "" where there is none.
        image_tokens: by picture size (`112x112`), how many positions of the text hold the picture.
        spans: `right/all`: answers whose tokens decode to them, over both sides of padding.
        ends: how many of these end in an end-of-turn token.
        located: `text` if the batch's image positions are those where the model puts the picture, `cross-attention` if the
            picture is nowhere in the text and the batch marks no position.
        scope_image: `edits` if an edit at the image positions changes z there and nowhere else, `refused` if the picture is
            not in the text.
        differences: the largest difference of each comparison, relative to the largest logit. `sides`: padding left and
            right; `alone`: a row in a batch and by itself; `text`: a conversation without a picture among others and by
            itself; `steps`: one pass and step by step. `cache` is the number of generated tokens that differ.
        problem: what does not hold, "" if everything does.
    """

    processor: str = ""
    placeholder: str = ""
    image_tokens: dict[str, int] = field(default_factory=dict)
    spans: str = ""
    ends: int = 0
    located: str = ""
    scope_image: str = ""
    differences: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    __repr__ = brief

    def to_json(self) -> dict[str, Any]:
        """The same as a dictionary of plain values."""
        return asdict(self)


def check_processor(family: str, seed: int = 0) -> ProcessorReport:
    """Build `family` with its own processor, load it, and check conversations. Failures are reported, not raised."""
    report = ProcessorReport()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            entry = tiny_processor_of(family)
            report.processor, report.placeholder = entry.processor, entry.placeholder or ""
            vlm = load_vlm(write_checkpoint(family, Path(folder), seed), device="cpu")
            report.problem = "; ".join(problem for problem in _check(vlm, report) if problem)
        except Exception as error:
            problem = str(error) if isinstance(error, HeadAtlasError) else error_text(error)
            report.problem = problem.replace(f"model {folder!r}: ", "")
    return report


def sample(n: int = 3) -> list[Conversation]:
    """Whole conversations of CogVSR of different lengths, about pictures of the two sizes in turn."""
    return [
        conversation(question, images=(picture.resize(SIZES[i % 2]),))
        for i, (question, picture) in enumerate(_drawn(n))
    ]


@cache
def _drawn(n: int) -> tuple[tuple[Any, Image.Image], ...]:
    from headatlas.scenes.build import build

    return tuple((question, question.images[0]) for question in build(n, 0, ("E",)))


def _check(vlm: VLM, report: ProcessorReport) -> list[str]:
    chats = sample()
    right, left = (encode(vlm, chats, side=side) for side in ("right", "left"))
    for row, size in enumerate(SIZES):
        report.image_tokens["x".join(map(str, size))] = int(right.image_mask[row].sum())
    problems = [_spans(vlm, chats, (right, left), report), *_located(vlm, (right, left), report)]
    rows = range(len(chats))
    whole = logits_at(vlm, right, right.predict_mask(), rows)
    problems.append(_same("sides", whole, logits_at(vlm, left, left.predict_mask(), rows), report))
    singles = [encode(vlm, [chat]) for chat in chats]
    alone = torch.cat([logits_at(vlm, one, one.predict_mask(), [0]) for one in singles])
    problems.append(_same("alone", whole, alone, report))
    problems.append(_without_pictures(vlm, chats, report))
    problems.append(_steps(vlm, chats, right, whole, report))
    problems.append(_cache(vlm, chats, report))
    problems.append(_scope_image(vlm, right, report))
    return problems


def _spans(vlm: VLM, chats: Sequence[Conversation], batches: Sequence[Batch], report: ProcessorReport) -> str:
    asked = found = 0
    for batch in batches:
        for row, chat in enumerate(chats):
            for turn, (start, end), ended in zip(chat.turns, batch.spans[row], batch.ends[row], strict=True):
                tokens = batch.ids[row, start:end].tolist()
                stops = tokens[-1] in vlm.end_ids
                text = vlm.tokenizer.decode(tokens[:-1] if stops else tokens, clean_up_tokenization_spaces=False)
                asked += 1
                found += "".join(text.split()) == "".join((turn.answer or "").split()) and stops == ended
                report.ends += stops
    report.spans = f"{found}/{asked}"
    return "" if found == asked else f"{asked - found} of {asked} spans do not decode to their answers"


def _located(vlm: VLM, batches: Sequence[Batch], report: ProcessorReport) -> list[str]:
    """Compare the batch's image positions with those where the language model's input is not the embedding of the token."""
    problems = []
    for batch in batches:
        seen: list[Tensor] = []

        def watch(module: Any, args: Any, kwargs: dict[str, Any], seen: list[Tensor] = seen) -> None:
            given = kwargs.get("inputs_embeds")
            seen.append(vlm.model.get_input_embeddings()(kwargs["input_ids"]) if given is None else given)

        root: Any = vlm.heads.language
        handle = root.register_forward_pre_hook(watch, with_kwargs=True)
        try:
            logits_at(vlm, batch, batch.last_mask(), range(len(batch.starts)))
        finally:
            handle.remove()
        with torch.no_grad():
            table: Any = vlm.model.get_input_embeddings()
            plain = table(batch.ids.clamp(max=table.weight.shape[0] - 1))
        held = (seen[0] != plain).any(-1) & batch.mask
        if not torch.equal(held, batch.image_mask):
            wrong = int((held != batch.image_mask).sum())
            problems.append(
                f"{wrong} positions ({batch.side} padding) are wrongly marked as image positions, or wrongly not"
            )
        report.located = "text" if held.any() else "cross-attention"
    return problems


def _same(name: str, a: Tensor, b: Tensor, report: ProcessorReport) -> str:
    difference = float((a - b).abs().max() / a.abs().max())
    report.differences[name] = max(difference, report.differences.get(name, 0.0))
    return "" if difference < CLOSE else f"{name}: the logits differ by {difference:.0e}"


def _without_pictures(vlm: VLM, chats: Sequence[Conversation], report: ProcessorReport) -> str:
    """Check that a conversation without a picture gets the same answers in a list with others as by itself."""
    bare = Conversation((), chats[0].turns)
    together, alone = read(vlm, [chats[1], bare, chats[0]])[1], read(vlm, [bare])[0]
    largest = max(abs(a.logprob - b.logprob) / max(abs(b.logprob), 1.0) for a, b in zip(together, alone, strict=True))
    report.differences["text"] = largest
    if largest > CLOSE:
        return f"text: a conversation without a picture differs by {largest:.1e} in a list with others"
    opened = [Conversation(chat.images, (Turn(chat.turns[0].user),)) for chat in (chats[0], bare)]
    if generate(vlm, opened, 3)[1] != generate(vlm, opened[1:], 3)[0]:
        return "text: a conversation without a picture is answered differently in a list with others"
    return ""


def _steps(vlm: VLM, chats: Sequence[Conversation], right: Batch, whole: Tensor, report: ProcessorReport) -> str:
    """Check that each step alone gives the same logits of the answer's first token as the pass over all steps."""
    at = 0
    for row, chat in enumerate(chats):
        opened = [
            Conversation(chat.images, (*chat.turns[:k], type(chat.turns[k])(chat.turns[k].user)))
            for k in range(len(chat.turns))
        ]
        batch = encode(vlm, opened, generation_prompt=True)
        final = torch.zeros_like(batch.mask)
        final[:, -1] = True
        logits = logits_at(vlm, batch, final, range(len(opened)))
        firsts = []
        for start, end in right.spans[row]:
            firsts.append(whole[at])
            at += end - start
        if problem := _same("steps", torch.stack(firsts), logits, report):
            return problem
    return ""


def _cache(vlm: VLM, chats: Sequence[Conversation], report: ProcessorReport) -> str:
    """Check that greedy decoding is the same with a cache as without, and begins with the argmax of a plain forward pass."""
    opened = [Conversation(chat.images, (Turn(chat.turns[0].user),)) for chat in chats]
    batch = encode(vlm, opened, generation_prompt=True)
    final = torch.zeros_like(batch.mask)
    final[:, -1] = True
    first = logits_at(vlm, batch, final, range(len(opened))).argmax(1)
    inputs = batch.to(vlm.device, vlm.dtype)
    inputs.pop("position_ids", None)
    pad = vlm.tokenizer.pad_token_id
    with torch.inference_mode():
        outputs = [
            vlm.model.generate(
                **inputs, do_sample=False, max_new_tokens=3, min_new_tokens=3, use_cache=cached, pad_token_id=pad
            )
            for cached in (True, False)
        ]
    length = batch.ids.shape[1]
    differ = int((outputs[0][:, length:] != outputs[1][:, length:]).sum())
    report.differences["cache"] = float(differ)
    stops = torch.tensor(sorted(vlm.end_ids))
    plain = ~torch.isin(first, stops)  # with `min_new_tokens` an end of turn cannot come first
    if bool((outputs[0][:, length] != first)[plain].any()):
        return "generate does not begin with the argmax of a plain forward"
    return f"{differ} of {outputs[0][:, length:].numel()} generated tokens differ without a cache" if differ else ""


def _scope_image(vlm: VLM, batch: Batch, report: ProcessorReport) -> str:
    heads = HeadSet(vlm.heads.heads("L"))
    if not vlm.image_in_text:
        try:
            with vlm.edit(zero(heads), scope="image"):
                return "scope image is not refused, though no position of the text holds the picture"
        except HeadAtlasError:
            report.scope_image = "refused"
        return _across(vlm, batch, report)
    first = vlm.heads.tower("L")[0].layer
    bare: dict[int, Tensor] = {}
    edited: dict[int, Tensor] = {}
    every = batch.predict_mask()
    rows = range(len(batch.starts))
    before = logits_at(
        vlm, batch, every, rows, ZReader(vlm.heads, on_z=lambda layer, z: bare.update({layer: z.clone()}))
    )
    with vlm.edit(zero(heads), scope="image"):
        # The reader's hooks run after the edit's, so it sees z as edited.
        after = logits_at(
            vlm, batch, every, rows, ZReader(vlm.heads, on_z=lambda layer, z: edited.update({layer: z.clone()}))
        )
    changed = (bare[first] != edited[first]).flatten(2).any(-1) & batch.mask
    if not torch.equal(changed, batch.image_mask):
        return "an edit with scope image changes z elsewhere than at the image's positions"
    report.scope_image = "edits"
    effect = float((before - after).abs().max() / before.abs().max())
    report.differences["effect"] = effect
    return (
        "" if effect > SEEN * CLOSE else f"an edit of every head with scope image moves the logits by {effect:.0e} only"
    )


def _across(vlm: VLM, batch: Batch, report: ProcessorReport) -> str:
    """Check that editing the cross-attention heads changes the answers."""
    every, rows = batch.predict_mask(), range(len(batch.starts))
    before = logits_at(vlm, batch, every, rows)
    with vlm.edit(zero(HeadSet(vlm.heads.heads("X")))):
        after = logits_at(vlm, batch, every, rows)
    effect = float((before - after).abs().max() / before.abs().max())
    report.differences["effect"] = effect
    return (
        "" if effect > SEEN * CLOSE else f"an edit of every cross-attention head moves the logits by {effect:.0e} only"
    )
