"""Stage `look`: the effect of redundant groups on split E, and pictures of what heads look at, for the report.

The groups are those that the scorer `multihead` found on split S. The pictures show the first questions of split E of each type
and, for each head, the steps of split S whose target it looks at most.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from headatlas.activations import AttentionSummaries, attention
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import Condition, ablate, random_sets
from headatlas.intervention.effects import Effect, effect, of_function
from headatlas.intervention.negative import joint_interval
from headatlas.pictures import encode
from headatlas.results import RESULTS
from headatlas.stats import null_p
from headatlas.storage import DamagedError
from headatlas.study.stages.base import stage
from headatlas.study.study import Study
from headatlas.vlm.attention import AttentionMap, attention_map
from headatlas.vlm.chat import conversation
from headatlas.vlm.image_tokens import check_placed

log = logging.getLogger("headatlas")

N_QUESTIONS, N_HEADS, N_CARDS, N_EXAMPLES, SIDE = 3, 12, 8, 3, 192
N_RANDOM = 39
"""Number of random sets with which a group is compared."""


@stage("look", command="report", needs=("data", "capture", "score"), version=2)
def run(study: Study) -> None:
    """Write results/groups.csv, results/looking.json and the pictures it names."""
    rows = []
    if "multihead" in study.scorers:
        groups: dict[str, list[list[str]]] = study.atlas.scores["multihead"].info["groups"]
        for function in FUNCTIONS:
            for number, names in enumerate(groups.get(function, ()), 1):
                others = [head for some in groups.values() for group in some for head in group]
                rows += group_rows(study, function, number, HeadSet(names), HeadSet(dict.fromkeys(others)))
    study.run.write_table("groups", pd.DataFrame(rows) if rows else RESULTS["groups"].empty())
    study.run.write_json("results/looking.json", _looking(study))


def group_rows(study: Study, function: str, number: int, heads: HeadSet, groups: HeadSet) -> list[dict[str, Any]]:
    """Rows of results/groups.csv for one group: the cost of all, half and one of its heads, and of as many random heads.

    The random heads are of the same layers as far as there are enough, and in none of the `groups` and functional sets.
    """
    settings, split, runner = study.settings, study.control_split, study.runner()
    members = list(heads)
    functional = {head for scorer in study.judged for name in FUNCTIONS for head in study.head_set(name, scorer)}
    random = random_sets(
        heads, study.vlm.heads.shape, min(N_RANDOM, settings.n_random), match="layer", rng=settings.seed,
        exclude={*groups, *functional},
    )  # fmt: skip
    sets = {
        "all": [heads],
        "half": [HeadSet(members[::2]), HeadSet(members[1::2])],
        "one": [HeadSet([head]) for head in members],
        "random": random,
    }
    flat = [(part, each) for part, some in sets.items() for each in some]
    conditions = [Condition(f"group {part}", (ablate(each, "mean", study.means),)) for part, each in flat]

    def told(_: str, done: int, total: int) -> None:
        study.report(f"redundant group of {study.name_of(function)}", done, total)

    before = runner.baseline(split)
    where = of_function(before, function)
    n_boot = settings.n_bootstrap
    measured: dict[str, list[tuple[Effect, float]]] = {part: [] for part in sets}
    falls: dict[str, list[np.ndarray]] = {part: [] for part in sets}  # of every step of the function
    right = before["correct"].to_numpy(float)[where]
    for (part, _), after in zip(flat, runner.run_many(conditions, split, told), strict=True):
        loss = float((before["logprob"] - after["logprob"]).to_numpy()[where].mean())
        falls[part].append(right - after["correct"].to_numpy(float)[where])
        measured[part].append((effect(before, after, where, n_boot if part == "all" else 100, settings.seed), loss))
    drops = {part: np.array([-one.change for one, _ in some]) for part, some in measured.items()}
    whole = measured["all"][0][0]
    if not whole.n:
        return []
    beyond = low_beyond = high_beyond = np.nan
    if random:
        beyond = float(drops["all"][0] - drops["random"].mean())
        low_beyond, high_beyond = joint_interval(
            falls["all"][0], np.stack(falls["random"]), scenes_of(before)[where], settings.seed
        )
    common = {"function": function, "group": number, "heads": " ".join(map(str, members)), "n": whole.n}
    worst = int(drops["one"].argmax())
    parts = {
        "all": measured["all"],
        "half": measured["half"],
        "one": measured["one"],
        "worst_one": [measured["one"][worst]],
        "random": measured["random"],
    }
    rows = []
    for part, some in parts.items():
        if not some:
            continue
        low, high = np.nan, np.nan
        if part == "all":
            low, high = -whole.high, -whole.low
        elif part == "random":
            low, high = np.quantile(drops["random"], [0.025, 0.975])
        rows.append(
            {
                **common, "part": part, "k": {"half": (len(members) + 1) // 2, "one": 1, "worst_one": 1}.get(part, len(members)),
                "drop": float(np.mean([-one.change for one, _ in some])), "low": low, "high": high,
                "loss": float(np.mean([loss for _, loss in some])),
                "unparsable_after": float(np.mean([one.unparsable_after for one, _ in some])),
                "match": random[0].reason.removeprefix("random, ") if part == "random" else "",
                "beyond": beyond if part == "all" else np.nan,
                "beyond_low": low_beyond if part == "all" else np.nan,
                "beyond_high": high_beyond if part == "all" else np.nan,
                "p": float(null_p(drops["all"], drops["random"])[0]) if part == "all" and len(drops["random"]) else np.nan,
            }
        )  # fmt: skip
    return rows


def _looking(study: Study) -> dict[str, Any]:
    """The content of results/looking.json; `reason` says why there are no pictures."""
    try:
        check_placed(study.vlm)
    except HeadAtlasError as error:
        return {"reason": str(error), "questions": [], "cards": []}
    by = "attention" if "attention" in study.scorers else study.scorers[0]
    heads = study.atlas.ranking(SPATIAL[0], by)
    questions = [_worked(study, question, step, heads[:N_HEADS]) for question, step in _some(study)]
    cards = [_card(study, head) for head in heads[:N_CARDS]] if by == "attention" else []
    reason = "" if by == "attention" else "Steps have no boxes, so what heads should look at is not known."
    return {"reason": reason, "heads_by": by, "questions": questions, "cards": cards}


def _some(study: Study) -> list[tuple[Question, int]]:
    """Questions of split E of different types, each with its first spatial step that has boxes (or its first spatial step)."""
    chosen: list[tuple[Question, int]] = []
    seen = set()
    for question in study.data.split("E"):
        spatial = [k for k, step in enumerate(question.steps) if step.function in SPATIAL and question.images]
        boxed = [k for k in spatial if question.steps[k].boxes]
        if spatial and question.family not in seen:
            seen.add(question.family)
            chosen.append((question, (boxed or spatial)[0]))
        if len(chosen) == N_QUESTIONS:
            break
    return chosen


def _map(study: Study, question: Question, step: int, heads: Sequence[Head]) -> AttentionMap:
    """Where heads look at the position that predicts a step's answer."""
    return attention_map(study.vlm, conversation(question, upto=step), HeadSet(heads))


def _worked(study: Study, question: Question, step: int, heads: Sequence[Head]) -> dict[str, Any]:
    attention = _map(study, question, step, heads)
    name = f"{study.data.split('E').ids.index(question.id)}-{step}"
    mass, one = attention.image_mass(), question.steps[step]
    boxes = [(box.x0, box.y0, box.x1, box.y1) for box in one.boxes]
    looked = attention.patch_mass(boxes) if boxes else None
    return {
        "question": question.id, "step": one.text, "answer": one.answer, "function": one.function,
        "image": _write(study, f"looking/{name}.png", question.images[0], boxes),
        "heads": [
            {
                "head": str(head), "image_mass": float(mass[i]),
                "target": None if looked is None else float(looked[i]),
                "picture": _write(study, f"looking/{name}-{head}.png", attention.overlay(head, side=SIDE)),
            }
            for i, head in enumerate(attention.heads)
        ],
    }  # fmt: skip


def _card(study: Study, head: Head) -> dict[str, Any]:
    """One head: the steps of different questions whose target it looks at the most, and the loss without it, by function."""
    summaries, target = _summaries(study)
    mass = np.nan_to_num(target[:, head.layer, head.head], nan=-1.0)
    questions = study.data.split("S")
    examples: list[dict[str, Any]] = []
    for row in np.argsort(-mass, kind="stable"):
        step = summaries.steps.iloc[int(row)]
        if mass[row] < 0 or len(examples) == N_EXAMPLES:
            break
        if any(step["question"] == other["question"] for other in examples):
            continue
        at = questions.ids.index(step["question"])
        question, k = questions[at], int(step["step"])
        attention = _map(study, question, k, [head])
        examples.append(
            {
                "question": question.id, "step": question.steps[k].text, "answer": question.steps[k].answer,
                "target": float(mass[row]),
                "picture": _write(study, f"looking/card-{head}-{len(examples)}.png", attention.overlay(head, side=SIDE)),
            }
        )  # fmt: skip
    effects = {}
    if "ablation" in study.scorers:
        values = study.atlas.scores["ablation"].values[:, head.layer, head.head]
        effects = dict(zip(FUNCTIONS, map(float, values), strict=True))
    scores = study.atlas.scores["attention"]
    c = FUNCTIONS.index(SPATIAL[0])
    named = ("target", "random", "image", "localisation")
    return {
        "head": str(head), "gaze": float(scores.values[c, head.layer, head.head]), "effects": effects, "examples": examples,
        **{name: _known(scores.arrays[name][c, head.layer, head.head]) for name in named},
    }  # fmt: skip


def _summaries(study: Study) -> tuple[AttentionSummaries, np.ndarray]:
    """The summaries that the scorer `attention` stored, with `target` [N, L, H]; damaged files are computed again."""
    where = study.store.at("attention").at("attention-S-last").where
    try:
        summaries = AttentionSummaries.open(where)
        return summaries, summaries["target"]
    except DamagedError as error:
        log.warning("%s", error)
        settings = study.settings
        summaries = attention(
            study.vlm, study.data.split("S"), "last", out=where, batch_size=settings.batch_size, seed=settings.seed
        )
        return summaries, summaries["target"]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _write(study: Study, name: str, image: Image.Image, boxes: Sequence[tuple[float, ...]] = ()) -> str:
    """Write a small picture, with boxes drawn, into the run's examples; returns its path in the run."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    if boxes:
        small = small.copy()
        pen = ImageDraw.Draw(small)
        for x0, y0, x1, y1 in boxes:
            corners = (x0 * small.width, y0 * small.height, x1 * small.width - 1, y1 * small.height - 1)
            pen.rectangle(corners, outline="white", width=3)
            pen.rectangle(corners, outline="#d55e00", width=1)
    path = study.run.root / "examples" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(small))
    return f"examples/{name}"
