"""What HeadAtlas costs beside the bare model, and what it saves beside the step-by-step way; one run, one table, ratios.

Workloads, all on the same questions of the shipped VLM:
  capture   z of every step from one pass a question, against the bare forward over the same batches, and against running every
            step's own prompt alone at batch size 1, as published scripts do
  edit      a forward with one head ablated, against the bare forward
  generate  greedy answers under an edit, against bare ones
  sweep     one head's exact damage over split S, and what that makes for all heads

Run: python benchmarks/speed.py [--questions 64] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import headatlas as ha
from headatlas.heads import ZReader
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation, conversation
from headatlas.vlm.generate import generate
from headatlas.vlm.read import read


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="ref-llava")
    chosen = parser.parse_args()

    vlm = ha.load_vlm(chosen.model)
    data = ha.cogvsr.load("scenes", n=chosen.questions, seed=9)
    questions = list(data)
    size = 16
    chats = sorted((conversation(q) for q in questions), key=lambda c: sum(len(t.user) for t in c.turns))
    batches = [encode(vlm, chats[i : i + size]) for i in range(0, len(chats), size)]
    head = ha.HeadSet(["L3.H2"])

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                vlm.model(**batch.inputs)

    def captured() -> ha.Activations:
        with tempfile.TemporaryDirectory() as folder:
            acts = ha.capture(vlm, questions, tokens="predict", out=Path(folder) / "acts", batch_size=size)
            captured.z = acts.z("predict")  # type: ignore[attr-defined]
            return acts

    def step_by_step() -> None:
        rows = []
        with torch.inference_mode():
            for question in questions:
                for k in range(len(question.steps)):
                    whole = conversation(question)
                    chat = Conversation(whole.images, whole.turns[: k + 1])
                    batch = encode(vlm, [chat])
                    kept: dict[int, torch.Tensor] = {}
                    with ZReader(vlm.heads, on_z=lambda layer, z, kept=kept: kept.update({layer: z})):
                        vlm.model(**batch.inputs)
                    start, end = batch.spans[0][k]
                    rows.append(torch.stack([kept[layer][0, start - 1 : end - 1].mean(0) for layer in sorted(kept)]))
        step_by_step.z = torch.stack(rows).numpy()  # type: ignore[attr-defined]

    def reading() -> None:
        read(vlm, chats, size)

    def edited() -> None:
        with vlm.edit(ha.zero(head)):
            read(vlm, chats, size)

    openings = [conversation(q, 0) for q in questions]

    def generating() -> None:
        generate(vlm, openings, 4, size)

    def generating_edited() -> None:
        with vlm.edit(ha.zero(head)):
            generate(vlm, openings, 4, size)

    work = {
        "bare forward": bare, "capture": captured, "step by step": step_by_step, "read": reading, "read, edited": edited,
        "generate": generating, "generate, edited": generating_edited,
    }  # fmt: skip
    seconds = {name: median_seconds(one, 1 if name == "step by step" else chosen.repeats) for name, one in work.items()}
    gap = float(np.abs(captured.z - step_by_step.z).max())  # type: ignore[attr-defined]

    n_heads = vlm.heads.shape[0] * vlm.heads.shape[1]
    steps, threads = sum(len(q.steps) for q in questions), torch.get_num_threads()
    print(f"{chosen.model}, {len(questions)} questions, {steps} steps, {threads} threads")
    for name, value in seconds.items():
        print(f"  {name:18s} {value:8.3f} s")
    ratios = {
        "capture / bare forward": seconds["capture"] / seconds["bare forward"],
        "step by step / capture": seconds["step by step"] / seconds["capture"],
        "read, edited / read": seconds["read, edited"] / seconds["read"],
        "generate, edited / generate": seconds["generate, edited"] / seconds["generate"],
    }
    for name, value in ratios.items():
        print(f"  {name:30s} {value:6.2f}")
    print(f"  largest difference in z between capture and step by step: {gap:.1e}")
    print(f"  sweep of all {n_heads} heads over these questions: {n_heads * seconds['read, edited']:.0f} s")


if __name__ == "__main__":
    main()
