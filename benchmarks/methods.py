"""Activation methods: what they cost beside a bare model, and whether any helps where the labels are wrong.

    python benchmarks/methods.py time [--model ref-llava] [--n 32] [--picture 448]
    python benchmarks/methods.py shuffled [--methods gain,gates] [--seeds 3] [--n 240]

`time` prints the time of a teacher-forced evaluation under each attention method as a multiple of the bare one: the median of
interleaved rounds, heads drawn at random. `--model small` is a Qwen2.5-VL of 0.2 G parameters with random weights; `--picture`
is the side of the pictures in pixels. `shuffled` exchanges the gold answers of spatial steps (between steps of the same kind)
in the splits that methods are fitted and tuned on, of a model with faint heads, which a right fit would cure; no method may help.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import headatlas as ha
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.latent import METHODS, MethodInputs, judge, method_names
from headatlas.latent.fitting import shuffled_answers
from headatlas.scenes.build import build
from headatlas.truth.latent import latent_world
from headatlas.vlm import conversation
from headatlas.vlm.batch import encode

SETTINGS: dict[str, dict[str, Any]] = {
    "gaze": {"beta": 1.0},
    "attention_scaling": {"weights": (0.8, 1.5)},
    "attention_scaling_heads": {"weights": (0.8, 1.5)},
    "sinks": {"share": 0.4, "dims": (0, 1)},
}


def seconds(vlm: ha.VLM, questions: Sequence[Question], method: Any = None) -> float:
    """Of one evaluation: of this process on a CPU, so that other work counts little; of the clock on a GPU."""
    clock = time.process_time if vlm.device.type == "cpu" else time.perf_counter
    if method is None:
        start = clock()
        ha.evaluate(vlm, questions)
        return clock() - start
    with method.applied(vlm) as arm:
        start = clock()
        ha.evaluate(vlm, questions, arm=arm)
        return clock() - start


def loaded(model: str, data: CogVSR, folder: Path, device: str | None = "cpu") -> ha.VLM:
    """A shipped model, or one of random weights whose tokenizer knows the words of `data`."""
    from random_qwen import SHAPES, make

    texts = [f"{step.text} {step.answer}" for question in data for step in question.steps]
    return make(folder / model, model, texts, device) if model in SHAPES else ha.load_vlm(model)


def larger(questions: Iterable[Question], side: int) -> CogVSR:
    """The questions with their pictures scaled to `side` x `side` pixels."""
    made = []
    for question in questions:
        images = tuple(image.resize((side, side)) for image in question.images)
        made.append(question.model_copy(update={"images": images}))
    return CogVSR.from_questions(made)


def print_times(model: str, names: Sequence[str], n: int, rounds: int, side: int | None) -> None:
    """One line a method."""
    data = CogVSR.from_questions(build(n, 7, splits=("P", "E")))
    data = data if side is None else larger(data, side)
    with tempfile.TemporaryDirectory() as folder:
        print_times_of(loaded(model, data, Path(folder)), names, data, rounds)


def print_times_of(vlm: ha.VLM, names: Sequence[str], data: CogVSR, rounds: int) -> None:
    """One line a method."""
    questions = list(data.split("E"))
    rng = np.random.default_rng(0)
    layers, per_layer = vlm.heads.shape
    drawn = rng.permutation(layers * per_layer)[:8]
    heads = ha.HeadSet([(int(i) // per_layer, int(i) % per_layer) for i in drawn])
    inputs = MethodInputs(vlm, data, None, {"spatial_perception": heads, "relational_reasoning": heads}, n_fit=16)
    batch = encode(vlm, [conversation(question) for question in questions[:8]])
    shown, asked = int(batch.image_mask.sum(1)[0]), int(batch.mask.sum(1).float().mean())
    predict = int(batch.predict_mask().sum()) / len(batch.starts)
    print(f"{len(questions)} questions; about {asked} tokens, {shown} of the picture, {predict:.0f} predict an answer")
    for name, settings in ((name, SETTINGS[name]) for name in names):
        method = METHODS[name]()
        method.fit(inputs)
        for key, value in settings.items():
            setattr(method, key, value)
        seconds(vlm, questions), seconds(vlm, questions, method)
        pairs = [(seconds(vlm, questions), seconds(vlm, questions, method)) for _ in range(rounds)]
        bare, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{name:24s} {own / bare:5.2f} x a bare evaluation ({1000 * own / len(questions):.0f} ms a question)",
            flush=True,
        )


def exchanged(data: CogVSR, seed: int) -> CogVSR:
    """The data with the gold answers of spatial steps of splits P, S and T exchanged between steps of the same kind."""
    made: list[Question] = []
    for split in ("P", "S", "T"):
        questions = list(data.split(split))
        for question, answers in zip(
            questions, shuffled_answers(questions, np.random.default_rng([seed, 3])), strict=True
        ):
            steps = [step.model_copy(update={"answer": new}) for step, new in zip(question.steps, answers, strict=True)]
            made.append(question.model_copy(update={"steps": tuple(steps), "answer": answers[-1]}))
    return CogVSR.from_questions([*made, *data.split("E")])


def print_shuffled(model: str, heads: str, methods: Sequence[str], seeds: int, n: int) -> None:
    """One line a method and seed, and the number that help."""
    world = latent_world(model, heads=ha.HeadSet(heads), n=40)
    helping = 0
    for seed in range(seeds):
        data = exchanged(CogVSR.from_questions(build(n, 60_000 + seed)), seed)
        chosen = {"spatial_perception": world.heads, "relational_reasoning": world.heads}
        acts = ha.capture(world.vlm, data, ("predict", "last", "all"))
        found = judge(MethodInputs(world.vlm, data, acts, chosen, seed), methods, draws=1, own_context=False)
        for row in found.tables["methods"].itertuples():
            print(
                f"seed {seed} {row.method:24s} {row.gain:+.1f} ({row.low:+.1f} to {row.high:+.1f}) {row.reason or 'HELPS'}",
                flush=True,
            )
        helping += len(found.helping)
    print(f"{helping} of {seeds * len(methods)} help")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["time", "shuffled"])
    parser.add_argument("--model", default="ref-llava")
    parser.add_argument("--heads", default="L4.H2 L4.H3 L5.H0 L5.H1 L5.H2")
    parser.add_argument("--methods")
    parser.add_argument("--n", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=int)
    options = parser.parse_args()
    if options.what == "time":
        names = list(SETTINGS) if options.methods is None else options.methods.split(",")
        print_times(options.model, names, options.n, options.rounds, options.picture)
    else:
        print_shuffled(options.model, options.heads, method_names(options.methods or "gain"), options.seeds, options.n)


if __name__ == "__main__":
    main()
