"""Activation methods: what they cost beside a bare model, and whether any helps where the labels are wrong.

    python benchmarks/methods.py time [--model ref-llava] [--n 32]
    python benchmarks/methods.py shuffled [--methods gain,gates] [--seeds 3] [--n 240]

`time` prints the time of a teacher-forced evaluation under each attention method as a multiple of the bare one: the median of
interleaved rounds, heads drawn at random. `shuffled` exchanges the gold answers of spatial steps (between steps of the same kind)
in the splits that methods are fitted and tuned on, of a model with faint heads, which a right fit would cure; no method may help.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import headatlas as ha
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.latent import METHODS, MethodInputs, judge, method_names
from headatlas.latent.fitting import shuffled_answers
from headatlas.scenes.build import build
from headatlas.truth.latent import latent_world

SETTINGS: dict[str, dict[str, Any]] = {
    "gaze": {"beta": 1.0},
    "attention_scaling": {"weights": (0.8, 1.5)},
    "attention_scaling_heads": {"weights": (0.8, 1.5)},
    "sinks": {"share": 0.4, "dims": (0, 1)},
}


def seconds(vlm: ha.VLM, questions: Sequence[Question], method: Any = None) -> float:
    """Of one evaluation."""
    if method is None:
        start = time.perf_counter()
        ha.evaluate(vlm, questions)
        return time.perf_counter() - start
    with method.applied(vlm) as arm:
        start = time.perf_counter()
        ha.evaluate(vlm, questions, arm=arm)
        return time.perf_counter() - start


def print_times(model: str, n: int, rounds: int) -> None:
    """One line a method."""
    vlm = ha.load_vlm(model)
    data = CogVSR.from_questions(build(n, 7, splits=("P", "E")))
    questions = list(data.split("E"))
    rng = np.random.default_rng(0)
    layers, per_layer = vlm.heads.shape
    drawn = rng.permutation(layers * per_layer)[:8]
    heads = ha.HeadSet([(int(i) // per_layer, int(i) % per_layer) for i in drawn])
    inputs = MethodInputs(vlm, data, None, {"spatial_perception": heads, "relational_reasoning": heads}, n_fit=16)
    for name, settings in SETTINGS.items():
        method = METHODS[name]()
        method.fit(inputs)
        for key, value in settings.items():
            setattr(method, key, value)
        seconds(vlm, questions), seconds(vlm, questions, method)
        pairs = [(seconds(vlm, questions), seconds(vlm, questions, method)) for _ in range(rounds)]
        bare, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:24s} {own / bare:5.2f} x a bare evaluation ({1000 * own / len(questions):.0f} ms a question)")


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
    parser.add_argument("--methods", default="gain")
    parser.add_argument("--n", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "time":
        print_times(options.model, options.n, options.rounds)
    else:
        print_shuffled(options.model, options.heads, method_names(options.methods), options.seeds, options.n)


if __name__ == "__main__":
    main()
