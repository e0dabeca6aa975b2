"""Verify a planted world: exact ablation of single heads, pairs and whole sets shows what the planted heads really do.

A function's planted set is *necessary* if, without it, the function's accuracy falls to within `NEAR` of the accuracy without the
picture (or of chance, if that is higher), with zeros and with means in its place. It is *specific* if no other function loses
`SPARED` or more. The role follows from the smallest subsets that do at least `SHARE` of the set's damage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from headatlas.activations import capture
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.heads import Edit, Head, HeadSet, mean, zero
from headatlas.intervention import Condition, Runner, mean_z
from headatlas.truth.layout import Layout, Plant
from headatlas.vlm import VLM, evaluate

NEAR = 0.05
SPARED = 0.03
CARRIES = 0.5
ALSO = 0.1
SHARE = 0.8
"""A subset that does this share of the whole set's damage carries the function by itself."""


@dataclass(frozen=True)
class Verified:
    """The verified truth of one planted function. Accuracies are in 0..1, in gold context, on split E.

    Attributes:
        function, wished, heads: as in the layout.
        role: what the subsets show: `single`, `redundant`, `distributed`, `partial` (the role is not clear) or `failed` (the set
            does not carry the function).
        minimal: the smallest subsets that do at least `SHARE` of the damage, in the layout's order.
        also: heads outside these subsets whose removal alone takes `ALSO` or more, with both fills.
        intact, floor: accuracy of the intact model, and with the function destroyed.
        carried: share of the way from `intact` to `floor` that removing the set takes, the smaller of both fills.
        necessary: whether the function falls to within `NEAR` of the floor, with both fills.
        without: accuracy without the whole set, by fill (`zero`, `mean`).
        worst_other: largest loss of any other function, over both fills.
        specific: whether `worst_other` is below `SPARED`.
        n: steps of the function.
    """

    function: str
    wished: str
    heads: tuple[str, ...]
    role: str
    minimal: tuple[tuple[str, ...], ...]
    also: tuple[str, ...]
    intact: float
    floor: float
    carried: float
    necessary: bool
    without: dict[str, float]
    worst_other: float
    specific: bool
    n: int

    def to_json(self) -> dict[str, Any]:
        """As written to `truth.json`."""
        return asdict(self)


def verify(
    vlm: VLM, layout: Layout, data: CogVSR, say: Callable[[str], None] = lambda line: None
) -> tuple[list[Verified], pd.DataFrame]:
    """Ablate every subset of every planted set, by zero and by mean, and infer the truth from the effects.

    Args:
        vlm: the planted model.
        layout: where the functions were planted.
        data: questions with splits P (means) and E (effects), not seen in training.
        say: called with a line for each part of the work.

    Returns:
        One `Verified` for each plant, and the table behind them: fill, heads (space-separated, `""` for the intact model),
        function, accuracy, n.
    """
    say("capturing means")
    activations = capture(vlm, data.split("P"), tokens=("all",))
    means = mean_z(activations, "P")
    fills: dict[str, Callable[[HeadSet], Edit]] = {"zero": zero, "mean": lambda heads: mean(heads, means)}
    layers, heads = vlm.heads.shape
    singles = [(Head(layer, head),) for layer in range(layers) for head in range(heads)]
    subsets = list(dict.fromkeys([subset for plant in layout.plants for subset in _subsets(plant)] + singles))
    conditions = [Condition("intact")]
    for fill, edit in fills.items():
        conditions += [Condition(f"{fill} {' '.join(map(str, s))}", (edit(HeadSet(s)),)) for s in subsets]
    say(f"ablating {len(subsets)} subsets in {len(fills)} ways")
    runner = Runner(vlm, data, None)
    answers = list(runner.run_many(conditions, "E"))
    keys = [("", "")] + [(fill, " ".join(map(str, subset))) for fill in fills for subset in subsets]
    table = pd.concat(
        [accuracies(part).assign(fill=fill, heads=heads) for (fill, heads), part in zip(keys, answers, strict=True)],
        ignore_index=True,
    )
    say("answering without pictures")
    blind = accuracies(evaluate(vlm, list(data.split("E")), arm=_without_image)).set_index("function")["accuracy"]
    chance = _chance(list(data.split("E")))
    intact = table[table["heads"] == ""].set_index("function")["accuracy"]
    floors = {name: floor_of(float(intact[name]), float(blind[name]), chance[name]) for name in intact.index}
    return [judge(plant, table, floors[plant.function], tuple(fills)) for plant in layout.plants], table


def floor_of(intact: float, blind: float, chance: float) -> float:
    """Accuracy of a destroyed function: that without the picture, or chance if it is higher or no picture is needed."""
    return chance if blind >= intact - NEAR else max(blind, chance)


def judge(plant: Plant, table: pd.DataFrame, floor: float, fills: tuple[str, ...] = ("zero", "mean")) -> Verified:
    """Infer the truth of one plant from the table of `verify`."""

    def accuracy(heads: tuple[Head, ...], fill: str) -> pd.Series:
        rows = table[(table["heads"] == " ".join(map(str, heads))) & (table["fill"] == (fill if heads else ""))]
        return rows.set_index("function")["accuracy"]

    intact = accuracy((), "")
    own = float(intact[plant.function])
    whole = {fill: accuracy(plant.heads, fill) for fill in fills}
    without = {fill: round(float(part[plant.function]), 4) for fill, part in whole.items()}
    worst = max(float((intact - part).drop(plant.function).max()) for part in whole.values())
    damage = {fill: own - value for fill, value in without.items()}
    doing = [
        subset
        for subset in _subsets(plant)
        if all(own - float(accuracy(subset, fill)[plant.function]) >= SHARE * damage[fill] for fill in fills)
    ]
    minimal = tuple(s for s in doing if not any(set(other) < set(s) for other in doing))
    carried = min(damage.values()) / (own - floor) if own > floor + NEAR else 0.0
    role = _role(plant, minimal) if carried >= CARRIES else "failed"
    in_subsets = {head for subset in minimal for head in subset}
    also = [
        head for head in _singles(table) if head not in in_subsets and _takes(table, head, plant.function, own, fills)
    ]
    rows = table[(table["heads"] == "") & (table["function"] == plant.function)]
    return Verified(
        function=plant.function,
        wished=plant.role,
        heads=tuple(map(str, plant.heads)),
        role=role,
        minimal=tuple(tuple(map(str, subset)) for subset in minimal),
        also=tuple(map(str, also)),
        carried=round(carried, 4),
        necessary=own > floor + NEAR and all(value <= floor + NEAR for value in without.values()),
        intact=round(own, 4),
        floor=round(floor, 4),
        without=without,
        worst_other=round(worst, 4),
        specific=worst < SPARED,
        n=int(rows["n"].iloc[0]),
    )


def _singles(table: pd.DataFrame) -> list[Head]:
    """The heads that were ablated alone."""
    return sorted({Head.parse(heads) for heads in table["heads"] if heads and " " not in heads})


def _takes(table: pd.DataFrame, head: Head, function: str, intact: float, fills: tuple[str, ...]) -> bool:
    """Whether removing the head alone takes `ALSO` or more from the function, with every fill."""
    rows = table[(table["heads"] == str(head)) & (table["function"] == function)].set_index("fill")["accuracy"]
    return all(fill in rows.index and intact - float(rows[fill]) >= ALSO for fill in fills)


def _role(plant: Plant, minimal: tuple[tuple[Head, ...], ...]) -> str:
    if len(minimal) == 1 and len(minimal[0]) == 1:
        return "single"
    if len(minimal) == 1 and len(minimal[0]) == len(plant.heads):
        return "redundant"
    if len(plant.heads) > 1 and len(minimal) == len(plant.heads) and all(len(subset) == 1 for subset in minimal):
        return "distributed"
    return "partial"


def _subsets(plant: Plant) -> list[tuple[Head, ...]]:
    return [subset for size in range(1, len(plant.heads) + 1) for subset in combinations(plant.heads, size)]


def accuracies(answers: pd.DataFrame) -> pd.DataFrame:
    """Accuracy (0..1) and number of steps (n) of each function in an answers table."""
    accuracy = answers.groupby("function")["correct"].agg(["mean", "size"]).reset_index()
    return accuracy.rename(columns={"mean": "accuracy", "size": "n"})


def _chance(questions: list[Question]) -> dict[str, float]:
    """Accuracy of always giving the most frequent answer of the step's kind, by function."""
    steps = pd.DataFrame(
        [(step.functions[0], step.kind, step.answer) for question in questions for step in question.steps],
        columns=["function", "kind", "answer"],
    )
    best = steps.groupby(["function", "kind"])["answer"].agg(
        right=lambda answers: answers.value_counts().iloc[0], n="size"
    )
    sums = best.groupby(level=0).sum()
    return {str(function): float(row["right"] / row["n"]) for function, row in sums.iterrows()}


def _without_image(question: Question) -> tuple[tuple, str]:
    return (), ""
