"""What HeadAtlas costs beside the bare model, and what it saves beside other means. One run, one table, results compared.

    python benchmarks/speed.py                                 # ref-llava, what is installed beside it
    python benchmarks/speed.py --model small --questions 4 --batch-size 4 --naive-questions 1 --rounds 1 --heads 12 \\
        --only capture,condition,sweep                         # Qwen2.5-VL of 0.2 G parameters, random weights
    python benchmarks/speed.py --model 7b --questions 64       # the true 7B shape in bfloat16, for a GPU
    python benchmarks/speed.py --only capture,sweep --out speed.md

Workloads: `capture` (z of every step), `condition` (one head ablated, by every means), `sweep` (every head alone, scopes `all`
and `answer`), `generate` (under an edit), `steps` (generated answers in own and gold context), `probe` (the paper's probe),
`attribution` (AtP beside exact ablation), `heads` (time over the number of swept heads), `growth` (time and peak memory over the
number of questions). Peers (pyvene, nnsight, TransformerLens) take part where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from atp import atp_lines
from growth import growth, heads_lines
from probe import probe_lines
from rivals import LIBRARIES, Work, bare, hooks_ablate, hooks_capture, published_capture, published_generate
from steps import steps_lines
from table import Line, race, show

import headatlas as ha
from headatlas.engine import step_by_step, sweep
from headatlas.heads import HeadSet, ZReader, zero
from headatlas.vlm import VLM, Conversation, conversation, generate, read
from headatlas.vlm.batch import encode
from headatlas.vlm.forward import logits_at
from headatlas.vlm.read import by_length

REFERENCE = {
    "capture": "bare forward",
    "one condition": "bare forward",
    "sweep all": "HeadAtlas",
    "sweep answer": "HeadAtlas",
    "heads, scope all": "0 heads",
    "heads, scope answer": "0 heads",
    "generate": "bare",
    "answers, own context": "HeadAtlas",
    "answers, gold context": "HeadAtlas",
    "probe": "HeadAtlas",
}


def build(model: str, texts: list[str], folder: Path) -> VLM:
    from random_qwen import SHAPES, make

    return make(folder / model, model, texts) if model in SHAPES else ha.load_vlm(model)


def library_work(
    work: Work, lines_of: str, off_to: np.ndarray
) -> tuple[dict[str, Callable[[], object]], dict[str, float], list[str]]:
    """Contenders of the installed libraries that give the right result, and a note for each that does not take part."""
    found: dict[str, Callable[[], object]] = {}
    off: dict[str, float] = {}
    absent = []
    for name, make in LIBRARIES.items():
        if importlib.util.find_spec(name.lower().replace("transformerlens", "transformer_lens")) is None:
            absent.append(f"{lines_of}: {name} takes no part: it is not installed")
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                # Some wrap a model in place for good, so each has a copy of its own.
                own = replace(work, vlm=ha.load_vlm(work.vlm.name, device=str(work.vlm.device), dtype=work.vlm.dtype))
                one = make(own)[lines_of]
                off[name] = float(np.abs(one().reshape(off_to.shape) - off_to).max())
            found[name] = one
        except ModuleNotFoundError as error:
            absent.append(f"{lines_of}: {name} takes no part: {error}")
        except Exception as error:  # a rival that fails on this model is told, not hidden
            absent.append(
                f"{lines_of}: {name} fails on this model: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
            )
    return found, off, absent


def capture_lines(work: Work, rounds: int, pipeline: bool = True) -> tuple[list[Line], list[str]]:
    """z of every step; `pipeline`: also by the published step-by-step pipeline, which takes many times as long."""
    kept: dict[str, np.ndarray] = {}
    vlm, size = work.vlm, len(work.batches[0].spans)

    def headatlas() -> None:
        from headatlas.activations.reduce import StepMeans
        from headatlas.activations.tokens import TOKENS

        parts = []
        for batch in work.batches:
            runs = [(row, TOKENS["predict"](batch, row, t)) for row, s in enumerate(batch.spans) for t in range(len(s))]
            means = StepMeans(runs, vlm.heads.dims("L"), vlm.device)
            logits_at(vlm, batch, batch.predict_mask(), range(size), ZReader(vlm.heads, on_z=means))
            parts.append(means.means.cpu().numpy())
        kept["headatlas"] = np.concatenate(parts)

    few = work.chats[: max(4, len(work.chats) // 8)]
    forced, generated = "step by step, batch size 1", "step by step, batch size 1, answers generated"
    contenders: dict[str, Callable[[], object]] = {
        "bare forward": lambda: bare(work),
        "HeadAtlas": headatlas,
        "raw hooks, set for every call": lambda: hooks_capture(work),
        forced: lambda: published_capture(work, few),
        generated: lambda: published_generate(work, few),
    }
    headatlas()
    z = kept["headatlas"]
    n = sum(len(chat.turns) for chat in few)
    off = {
        "HeadAtlas": 0.0,
        "raw hooks, set for every call": float(np.abs(hooks_capture(work).reshape(z.shape) - z).max()),
    }
    if not pipeline:
        contenders = {name: call for name, call in contenders.items() if name not in (forced, generated)}
        return race("capture", contenders, "bare forward", rounds, off), []
    said, exact = published_generate(work, few)
    off |= {
        forced: float(np.abs(published_capture(work, few).reshape(n, *z.shape[1:]) - z[:n]).max()),
    }
    if any(exact):  # another answer has other tokens, and so another z
        off[generated] = float(np.abs(said.reshape(n, *z.shape[1:]) - z[:n])[exact].max())
    more, more_off, absent = library_work(work, "capture", z)
    scale = dict.fromkeys((forced, generated), sum(len(c.turns) for c in work.chats) / n)
    part = f"{len(few)} of {len(work.chats)} questions timed, scaled up by steps"
    notes = {forced: part, generated: f"{part}; {sum(exact)} of {n} answers are gold and compared"}
    return race("capture", contenders | more, "bare forward", rounds, off | more_off, notes, scale), absent


def sweep_lines(work: Work, rounds: int, naive_questions: int, n_heads: int | None) -> list[Line]:
    vlm, chats = work.vlm, work.chats
    every = list(vlm.heads.heads())
    # Evenly, and not the same head of every layer: an odd stride walks through layers and heads.
    heads = every[:: max(1, len(every) // n_heads) | 1] if n_heads else every
    conditions = [[zero(HeadSet([head]))] for head in heads]
    size = len(work.batches[0].spans)
    some = heads[:: max(1, len(heads) // 6)]
    few = chats[:naive_questions]
    lines = []
    for scope in ("all", "answer"):
        found = sweep(vlm, chats, conditions, scope, size)

        def again(scope: str = scope) -> None:
            for head in some:
                with vlm.edit(zero(HeadSet([head])), scope=scope):
                    read(vlm, chats, size)

        def naive(scope: str = scope, keep: bool = False) -> np.ndarray:
            out = []
            for head in some:
                rows = step_by_step(vlm, few, [zero(HeadSet([head]))], scope)
                out.append([r.logprob for row in rows for r in row])
            return np.array(out)

        n = sum(len(chat.turns) for chat in few)
        places = [heads.index(head) for head in some]
        off = {"naive loop": float(np.abs(naive() - found.logprob[places][:, :n]).max())}
        contenders: dict[str, Callable[[], object]] = {
            "HeadAtlas": lambda scope=scope: sweep(vlm, chats, conditions, scope, size),
            "naive loop": naive,
        }
        steps = sum(len(chat.turns) for chat in chats)
        scale = {"naive loop": len(heads) / len(some) * steps / n}
        notes = {
            "HeadAtlas": f"{len(heads)} heads x {len(chats)} questions, {found.how}",
            "naive loop": f"batch 1, step by step; {len(some)} heads x {len(few)} questions timed, scaled up",
        }
        if scope == "all":
            contenders["batched re-running"] = again
            scale["batched re-running"] = len(heads) / len(some)
            notes["batched re-running"] = f"{len(some)} heads timed, scaled up"
            for place, head in zip(places[:1], some[:1], strict=True):
                with vlm.edit(zero(HeadSet([head]))):
                    want = [r.logprob for row in read(vlm, chats, size) for r in row]
                off["batched re-running"] = float(np.abs(np.array(want) - found.logprob[place]).max())
        lines += race(f"sweep {scope}", contenders, "HeadAtlas", rounds, off, notes, scale)
    return lines


def condition_lines(work: Work, rounds: int) -> tuple[list[Line], list[str]]:
    """One head set to zero at all positions, one forward over every question: what an edit costs by each means."""
    vlm, size = work.vlm, len(work.batches[0].spans)
    edit = zero(HeadSet([ha.Head(*work.head)]))

    def ours() -> np.ndarray:
        out = []
        with vlm.edit(edit):
            for batch in work.batches:
                logits = logits_at(vlm, batch, batch.predict_mask(), range(size))
                ids = torch.cat([batch.ids[row, a:b] for row, s in enumerate(batch.spans) for a, b in s]).to(
                    logits.device
                )
                picked = logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
                out += [float(part.sum()) for part in picked.split([b - a for s in batch.spans for a, b in s])]
        return np.array(out)

    want = ours()
    off = {"HeadAtlas": 0.0, "raw hooks, set for every call": float(np.abs(hooks_ablate(work) - want).max())}
    more, more_off, absent = library_work(work, "ablate", want)
    contenders = {
        "bare forward": lambda: bare(work),
        "HeadAtlas": ours,
        "raw hooks, set for every call": lambda: hooks_ablate(work),
    }
    return race("one condition", contenders | more, "bare forward", rounds, off | more_off), absent


def generate_lines(work: Work, rounds: int) -> list[Line]:
    vlm = work.vlm
    openings = [Conversation(chat.images, (type(chat.turns[0])(chat.turns[0].user, None),)) for chat in work.chats]
    edit, tokens, size = zero(HeadSet([ha.Head(*work.head)])), 8, len(work.batches[0].spans)
    batches = [encode(vlm, [openings[i] for i in rows], generation_prompt=True) for rows in by_length(openings, size)]
    pad = vlm.tokenizer.pad_token_id

    @torch.inference_mode()
    def plain() -> None:
        """Straight generate; the same number of tokens is decoded as under the edit, so that the passes are alike."""
        for batch in batches:
            inputs = batch.to(vlm.device, vlm.dtype)
            inputs.pop("position_ids", None)
            vlm.model.generate(
                **inputs, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=pad
            )

    def edited() -> None:
        with vlm.edit(edit):
            generate_fixed()

    @torch.inference_mode()
    def generate_fixed() -> None:
        for batch in batches:
            inputs = batch.to(vlm.device, vlm.dtype)
            inputs.pop("position_ids", None)
            with vlm.running(batch, range(len(batch.spans))):
                vlm.model.generate(
                    **inputs, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=pad
                )

    with vlm.edit(edit):
        once = generate(vlm, openings[:8], 4, 8)
        alone = [generate(vlm, [chat], 4, 1)[0] for chat in openings[:8]]
    off = {"under an edit": float(sum(a != b for a, b in zip(once, alone, strict=True)))}
    notes = {"under an edit": f"{tokens} tokens each; difference: answers unlike those one by one, of 8"}
    return race("generate", {"bare": plain, "under an edit": edited}, "bare", rounds, off, notes)


def mean_z(vlm: VLM, questions: list[Any], folder: Path) -> np.ndarray:
    """Mean z [L, H, D] over the tokens of every step."""
    acts = ha.capture(vlm, questions, tokens="all", out=folder / "means")
    return acts.z("all").mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="ref-llava", help="ref-llava, a path or hub id, or small | 3b | 7b (random weights)"
    )
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--naive-questions", type=int, default=4, help="questions of the naive loop, which is scaled up"
    )
    parser.add_argument("--heads", type=int, help="sweep about so many heads, spread over the layers, instead of all")
    parser.add_argument("--only", default="capture,condition,sweep,heads,generate,steps,probe,attribution,growth")
    parser.add_argument("--out", type=Path, help="write the table here too")
    chosen = parser.parse_args()
    logging.getLogger("headatlas").setLevel(logging.ERROR)
    only = chosen.only.split(",")

    questions = list(ha.cogvsr.load("scenes", n=chosen.questions, seed=9))
    texts = [text for q in questions for text in [q.text, *(s.text for s in q.steps), *(s.answer for s in q.steps)]]
    lines: list[Line] = []
    absent: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        vlm = build(chosen.model, texts, Path(folder))
        chats = sorted((conversation(q) for q in questions), key=lambda c: -sum(len(t.user) for t in c.turns))
        batches = [encode(vlm, chats[i : i + chosen.batch_size]) for i in range(0, len(chats), chosen.batch_size)]
        work = Work(vlm, chats, batches, (vlm.heads.shape[0] // 2, 1))
        if "capture" in only:
            made, missing = capture_lines(work, chosen.rounds)
            lines, absent = lines + made, absent + missing
        if "condition" in only:
            made, missing = condition_lines(work, chosen.rounds)
            lines, absent = lines + made, absent + missing
        if "sweep" in only:
            lines += sweep_lines(work, chosen.rounds, chosen.naive_questions, chosen.heads)
        if "generate" in only:
            lines += generate_lines(work, chosen.rounds)
        if "steps" in only:
            lines += steps_lines(vlm, questions, chosen.batch_size, chosen.rounds)
        if "probe" in only:
            lines += probe_lines(vlm, questions, Path(folder))
        if "attribution" in only:
            means = mean_z(vlm, questions, Path(folder))
            ordered = [conversation(question) for question in questions]
            lines += atp_lines(vlm, questions, ordered, means, chosen.batch_size)
        if "heads" in only:
            lines += heads_lines(vlm, chats, chosen.batch_size, chosen.rounds)
        if "growth" in only and vlm.name.startswith("random"):
            absent.append(
                "growth: its processes load the model from a folder, and a random one is not written on a GPU"
            )
        elif "growth" in only:
            lines += growth(vlm.name, chosen.batch_size)
        device = (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else f"{platform.machine()}, {torch.get_num_threads()} threads"
        )
        layers, heads = vlm.heads.shape
        head = (
            f"{chosen.model}, {layers} layers x {heads} heads, {vlm.dtype}, {device}; torch {torch.__version__}; "
            f"{len(questions)} questions, {sum(len(q.steps) for q in questions)} steps, batches of {chosen.batch_size}, "
            f"median of {chosen.rounds} rounds"
        )
    text = "\n".join([head, "", show(lines, REFERENCE), "", *absent])
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
