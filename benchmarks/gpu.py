"""What HeadAtlas costs on a GPU beside the bare model, at the shape of a real one: tables in a few minutes.

    python benchmarks/gpu.py                      # the 7B shape of Qwen2.5-VL, random weights made on the GPU, bfloat16
    python benchmarks/gpu.py --model 3b --picture 672
    python benchmarks/gpu.py --model small --questions 4 --batch-size 2 --rounds 1    # a rehearsal on a CPU

Lines: capture of z, one head ablated, reading the attention of all heads at the predicting positions, reading and summarising it
(`ha.attention`), attention scaling (AdaptVis) in all heads and in eight. Contenders take turns; the ratio is the median over
rounds. Then the exact sweep of some heads, in passes over the questions a head. Every part is printed when it is done.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from methods import SETTINGS, larger
from random_qwen import make
from rivals import Work, bare
from speed import capture_lines, condition_lines
from table import Line, now, race, show

import headatlas as ha
from headatlas.activations.attention import attention_unit
from headatlas.cogvsr.schema import Question
from headatlas.engine import sweep
from headatlas.heads import AttentionReader, HeadSet, zero
from headatlas.latent import METHODS, MethodInputs
from headatlas.vlm import VLM, conversation, read
from headatlas.vlm.batch import encode


def attention_lines(work: Work, questions: list[Question], batch_size: int, rounds: int) -> list[Line]:
    """Rows of all heads, and their summaries."""
    vlm, every = work.vlm, str(HeadSet(work.vlm.heads.heads()))

    @torch.inference_mode()
    def rows() -> None:
        for batch in work.batches:
            inputs = batch.to(vlm.device, vlm.dtype)
            with AttentionReader(vlm.model, vlm.heads, queries=batch.predict_mask().to(vlm.device)):
                vlm.model(**inputs, use_cache=False)

    def summaries() -> None:
        attention_unit(vlm, questions, [0], "predict", every, False, batch_size)

    contenders: dict[str, Callable[[], object]] = {
        "bare forward": lambda: bare(work),
        "rows of all heads": rows,
        "summaries of all heads": summaries,
    }
    return race("attention", contenders, "bare forward", rounds)


def method_lines(vlm: VLM, data: ha.CogVSR, batch_size: int, rounds: int) -> list[Line]:
    """Attention scaling in all heads and in eight that were drawn, beside a bare evaluation."""
    questions = list(data)
    layers, per_layer = vlm.heads.shape
    drawn = np.random.default_rng(0).permutation(layers * per_layer)[:8]
    heads = HeadSet([(int(i) // per_layer, int(i) % per_layer) for i in drawn])
    inputs = MethodInputs(vlm, data, None, {"spatial_perception": heads, "relational_reasoning": heads}, n_fit=8)

    def evaluation(name: str | None) -> Callable[[], object]:
        if name is None:
            return lambda: ha.evaluate(vlm, questions, batch_size=batch_size)
        method = METHODS[name]()
        method.fit(inputs)
        for key, value in SETTINGS[name].items():
            setattr(method, key, value)

        def run() -> None:
            with method.applied(vlm) as arm:
                ha.evaluate(vlm, questions, arm=arm, batch_size=batch_size)

        return run

    names = {
        "bare evaluation": None,
        "AdaptVis, all heads": "attention_scaling",
        "AdaptVis, 8 heads": "attention_scaling_heads",
    }
    return race("method", {title: evaluation(name) for title, name in names.items()}, "bare evaluation", rounds)


def sweep_costs(work: Work, n_heads: int) -> list[str]:
    """Passes over the questions that one head of an exact sweep costs."""
    vlm, size = work.vlm, len(work.batches[0].spans)
    every = list(vlm.heads.heads())
    conditions = [[zero(HeadSet([head]))] for head in every[:: max(1, len(every) // n_heads) | 1]]
    told = []
    read(vlm, work.chats, size)
    start = now()
    read(vlm, work.chats, size)
    one = now() - start
    for scope in ("answer", "all"):
        sweep(vlm, work.chats, conditions[:2], scope, size)
        start = now()
        found = sweep(vlm, work.chats, conditions, scope, size)
        cost = (now() - start) / one / len(conditions)
        told.append(f"sweep, scope {scope}: {cost:.3f} passes a head ({len(conditions)} heads; {found.how})")
    return told


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="7b", choices=["small", "3b", "7b"])
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--picture", type=int, default=448, help="side of the pictures in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--heads", type=int, default=16, help="how many heads the sweeps edit")
    chosen = parser.parse_args()
    logging.getLogger("headatlas").setLevel(logging.ERROR)
    begun = time.perf_counter()
    data = larger(ha.cogvsr.load("scenes", n=chosen.questions, seed=9), chosen.picture)
    questions = list(data)
    texts = [text for q in questions for text in [q.text, *(s.text for s in q.steps), *(s.answer for s in q.steps)]]
    with tempfile.TemporaryDirectory() as folder:
        vlm = make(Path(folder) / chosen.model, chosen.model, texts)
        chats = [conversation(q) for q in questions]
        batches = [encode(vlm, chats[i : i + chosen.batch_size]) for i in range(0, len(chats), chosen.batch_size)]
        work = Work(vlm, chats, batches, (vlm.heads.shape[0] // 2, 1))
        device = (
            torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        )
        tokens = float(np.mean([int(m) for batch in batches for m in batch.mask.sum(1)]))
        print(
            f"{chosen.model}: {vlm.heads.shape[0]} layers x {vlm.heads.shape[1]} heads, {vlm.dtype}, {device}, torch "
            f"{torch.__version__}; {len(questions)} questions, {sum(len(q.steps) for q in questions)} steps, "
            f"{tokens:.0f} tokens, batches of {chosen.batch_size}, median of {chosen.rounds} rounds",
            flush=True,
        )
        parts: dict[str, Callable[[], list[Line]]] = {
            "capture": lambda: capture_lines(work, chosen.rounds, pipeline=False)[0],
            "condition": lambda: condition_lines(work, chosen.rounds)[0],
            "attention": lambda: attention_lines(work, questions, chosen.batch_size, chosen.rounds),
            "methods": lambda: method_lines(vlm, data, chosen.batch_size, max(1, chosen.rounds // 2)),
        }
        for name, part in parts.items():
            print(
                show(part(), {"capture": "bare forward", "one condition": "bare forward", "attention": "bare forward"}),
                flush=True,
            )
            print(f"[{name}: {time.perf_counter() - begun:.0f} s since the start]", flush=True)
        for line in sweep_costs(work, chosen.heads):
            print(line, flush=True)
        if torch.cuda.is_available():
            print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB", flush=True)


if __name__ == "__main__":
    main()
