"""Estimate what a study will cost before it starts: the model is timed on its first batches, and the cost of each stage follows.

These are measured: reading a question, answering one with generation, the forced answer to one, one more edited condition for one
question (conditions share the bare pass), and capture. Work without the model, such as probes, is measured on the same few
questions if possible, and is otherwise marked as not estimated. Nothing is written.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from headatlas.activations import Activations, capture
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import Head, HeadSet
from headatlas.intervention import OPERATIONS, Condition, Runner, ablate
from headatlas.intervention.controls import LEAST
from headatlas.latent import METHODS
from headatlas.latent.positive_control import SIZES
from headatlas.peak_memory import peak_memory
from headatlas.progress import duration
from headatlas.scoring import ScoringInputs, get_scorer
from headatlas.scoring.backup import HALVES
from headatlas.scoring.base import UnscorableError
from headatlas.study.settings import Settings, judged_by_default
from headatlas.study.stages.capture import TOKENS
from headatlas.study.stages.positive_control import RANKINGS
from headatlas.study.stages.towers import N_RANDOM
from headatlas.study.study import Study
from headatlas.vlm.evaluate import unreadable

PROBES = ("linear", "paper")
"""Scorers that fit probes instead of running the model."""

N_CONDITIONS = 6
"""Edited conditions that are timed, of heads spread over the layers."""


@dataclass(frozen=True)
class Speed:
    """Seconds per question, measured, and per edited condition and question (`condition`); `probes` by scorer, per step."""

    read: float
    forced: float
    generated: float
    own: float
    condition: float
    capture: float
    probes: dict[str, float]
    n: int
    """Questions that were timed."""
    gradient: float = 0.0
    """Per question of one update in a fit. Not measured, but taken as three forced answers, the usual cost of a backward pass."""


@dataclass(frozen=True)
class PlannedStage:
    """One row of a plan: seconds are None where they are not estimated."""

    name: str
    work: str
    seconds: float | None
    done: bool = False


@dataclass(frozen=True)
class Plan:
    """The stages of a study with their estimated costs.

    Attributes:
        stages: in the order in which they run; those that are done already cost nothing.
        model, data: names.
        shape: layers and heads of the model.
        questions: questions by split.
        speed: what was measured.
        memory: peak memory in bytes while the model's first batches ran, weights included: of the process on a CPU, of the
            device on a GPU.
        device: where the model runs.
        disk: bytes of the activations.
        notes: for what there are too few questions, and what was not estimated.
    """

    stages: tuple[PlannedStage, ...]
    model: str
    data: str
    shape: tuple[int, int]
    questions: dict[str, int]
    speed: Speed
    memory: int
    device: str
    disk: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The sum of what is estimated."""
        return sum(stage.seconds or 0.0 for stage in self.stages if not stage.done)

    @property
    def table(self) -> pd.DataFrame:
        """Columns stage, work, seconds (NaN where not estimated, 0 where done), done."""
        rows = [(one.name, one.work, 0.0 if one.done else one.seconds, one.done) for one in self.stages]
        return pd.DataFrame(rows, columns=["stage", "work", "seconds", "done"]).astype({"seconds": float})

    def __str__(self) -> str:
        layers, heads = self.shape
        counts = ", ".join(f"{split} {n}" for split, n in self.questions.items())
        lines = [f"Plan: {self.model} ({layers} layers x {heads} heads) on {self.data} ({counts})"]
        names = [one.name.replace("_", " ") for one in self.stages]
        width = max(map(len, names))
        for name, one in zip(names, self.stages, strict=True):
            cost = "done" if one.done else "not estimated" if one.seconds is None else duration(one.seconds)
            lines.append(f"  {name:{width}s} {cost:>13s}  {one.work}")
        lines.append(
            f"About {duration(self.seconds)} in all on {self.device}, measured on {self.speed.n} questions; memory "
            f"{_size(self.memory)}, disk {_size(self.disk)} for activations"
        )
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__


def plan(study: Study, batch: int | None = None) -> Plan:
    """Measure the model on its first questions and estimate every stage; nothing is written.

    Args:
        study: an opened study, which may have run in part.
        batch: questions that are timed; by default one batch of the settings, at most 16.

    Raises:
        HeadAtlasError: the data cannot be studied, or the model cannot be loaded.
    """
    notes = study.check_data()
    settings, data = study.settings, study.whole
    counts = {split: data.splits.get(split, 0) for split in ("P", "S", "T", "E")}
    n = min(batch or settings.batch_size, 16, counts["E"])
    with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
        speed, acts, memory = _measure(study, n, Path(folder))
        per_step = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / max(
            1, len(acts.steps)
        )
    steps = data.steps()
    n_steps = steps["split"].value_counts().to_dict()
    stages = tuple(
        PlannedStage(name, work, seconds, study.run.has_run(name))
        for name, work, seconds in _stages(study, speed, counts, n_steps)
    )
    unknown = [one.name for one in stages if one.seconds is None and not one.done]
    if unknown:
        notes.append(f"Not estimated, since nothing could be measured: {', '.join(unknown)}.")
    return Plan(
        stages, settings.model, settings.data, study.vlm.heads.shape, counts, speed, memory, study.vlm.device.type,
        int(per_step * len(steps)), tuple(notes),
    )  # fmt: skip


def _measure(study: Study, n: int, folder: Path) -> tuple[Speed, Activations, int]:
    """Time the model on the first `n` questions of split E (those that it can read) and of P and S."""
    vlm, settings = study.vlm, study.settings
    if vlm.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(vlm.device)
    evaluated = study.whole.split("E")
    first = evaluated.select(evaluated.ids[:n])
    with _timed() as read:
        refused = unreadable(vlm, first)
    usable = [name for name in first.ids if name not in refused]
    questions = first.select(usable or first.ids)
    n = len(questions)
    Runner(vlm, questions.select(questions.ids[:1]), None).baseline("E")  # the first pass of a process is slower
    with _timed() as forced:
        runner = Runner(vlm, questions, None, batch_size=settings.batch_size)
        runner.baseline("E")
    layers, heads = vlm.heads.shape
    places = [divmod(i * layers * heads // N_CONDITIONS, heads) for i in range(N_CONDITIONS)]
    edits = [Condition(f"plan {i}", (ablate(HeadSet([Head(*place)]), "zero"),)) for i, place in enumerate(places)]
    with _timed() as swept:
        runner.run_many(edits, "E")
    with _timed() as generated:
        Runner(vlm, questions, None, "generate", "gold", settings.batch_size).baseline("E")
    with _timed() as own:
        Runner(vlm, questions, None, "generate", "own", settings.batch_size).baseline("E")
    probed = study.whole.select([name for split in "PS" for name in study.whole.split(split).ids[: max(2, n // 2)]])
    with _timed() as captured:
        acts = capture(vlm, probed, _tokens(settings), out=folder / "capture", batch_size=settings.batch_size)
    memory = torch.cuda.max_memory_allocated(vlm.device) if vlm.device.type == "cuda" else peak_memory()
    each = forced() / n
    speed = Speed(
        read=read() / len(first), forced=each, generated=generated() / n, own=own() / n,
        # The bare pass of the sweep is one forced answer.
        condition=max(swept() / n - each, 0.02 * each) / N_CONDITIONS, capture=captured() / len(probed),
        probes=_probe_speed(study, acts), n=n, gradient=3 * each,
    )  # fmt: skip
    return speed, acts, int(memory)


def _probe_speed(study: Study, acts: Activations) -> dict[str, float]:
    """Seconds per step of fitting each probe scorer of the settings, on the captured questions."""
    settings, found = study.settings, {}
    for name in PROBES:
        if name not in settings.scorers:
            continue
        n_null = settings.probe_null if name == "paper" else settings.linear_null
        inputs = ScoringInputs(
            acts, settings.tokens, vlm=study.vlm, data=study.whole, seed=settings.seed, n_null=n_null
        )
        try:
            with _timed() as took:
                get_scorer(name)(inputs, **({"preset": settings.probe} if name == "paper" else {}))
        except UnscorableError:
            found[name] = 0.0
            continue
        found[name] = took() / len(acts.steps)
    return found


def _stages(
    study: Study, speed: Speed, counts: dict[str, int], n_steps: dict[str, int]
) -> Iterator[tuple[str, str, float | None]]:
    """(stage, what it does, seconds) of every stage."""
    settings = study.settings
    layers, heads = study.vlm.heads.shape
    every, evaluated = sum(counts.values()), counts["E"]
    controlled = min(evaluated, settings.n_control_questions or evaluated)
    spatial = [name for name in SPATIAL if name in study.functions]
    judged = len(settings.judged or judged_by_default(settings.scorers))
    arms = len(study.arms)

    def swept(conditions: int, questions: int) -> float:
        return questions * (speed.forced + conditions * speed.condition)

    yield "data", f"read {every:,} questions", every * speed.read * 1.2
    yield (
        "evaluate", f"answer {evaluated:,} questions 4 times, twice without the picture",
        2 * evaluated * (speed.generated + speed.own),
    )  # fmt: skip
    yield "capture", f"{every:,} questions, {layers * heads:,} heads", every * speed.capture
    yield "score", *_score(study, speed, counts, n_steps)
    yield "select", "resample scores", 1.0 + 2.0 * len(settings.scorers)
    negative = sum(len(OPERATIONS) + settings.n_random if name in spatial else 1 for name in study.functions)
    concentration = 1 + len(study.functions) + min(settings.n_random, LEAST)
    doses = len(spatial) * len(settings.doses) * (2 + settings.n_random_dose)
    conditions = judged * (len(FUNCTIONS) + negative + concentration + doses)
    yield (
        "ablate", f"up to {conditions:,} sets of heads silenced",
        judged * (swept(len(FUNCTIONS) + doses, evaluated) + swept(negative + concentration, controlled)),
    )  # fmt: skip
    yield "look", "attention in a few questions", 40 * speed.forced
    towers = study.vlm.heads.towers_named(settings.towers)
    every_head = 0 if towers == ("L",) else sum(len(study.vlm.heads.heads(tower)) for tower in towers)
    sets = 0 if towers == ("L",) else len(towers) * (len(FUNCTIONS) + len(spatial) * min(N_RANDOM, settings.n_random))
    yield (
        "towers", f"{every_head:,} heads of {', '.join(towers)} silenced one by one" if every_head else "none",
        (every_head * counts["S"] + sets * controlled) * speed.forced,
    )  # fmt: skip
    directions = 2 + settings.n_directions + 2 * settings.n_steer
    yield (
        "steer", f"up to {judged * len(spatial) * (directions + len(settings.alphas)):,} directions",
        judged * len(spatial) * (swept(len(settings.alphas), counts["T"]) + swept(directions, controlled)),
    )  # fmt: skip
    yield "activate", f"{evaluated:,} questions shown in up to {arms} ways", arms * evaluated * speed.forced
    yield "methods", *_methods(settings, speed, counts)
    if settings.positive_control and settings.methods:
        what, seconds = _methods(settings, speed, {**counts, "E": controlled})
        chosen = (len(SIZES) * len(RANKINGS) + 1) * counts["T"] * speed.forced
        yield "positive_control", f"{what}, where heads were made latent", None if seconds is None else seconds + chosen
    else:
        yield "positive_control", "none", 0.0
    yield "examples", "answers before and after", evaluated * speed.forced
    yield "claims", "read tables", 1.0
    yield "report", "draw the page", 15.0


def _score(study: Study, speed: Speed, counts: dict[str, int], n_steps: dict[str, int]) -> tuple[str, float | None]:
    settings, scored = study.settings, counts["S"]
    layers, heads = study.vlm.heads.shape
    names = set(settings.scorers)
    fitted = n_steps.get("P", 0) + n_steps.get("S", 0)
    seconds, work = sum(speed.probes.get(name, 0.0) * fitted for name in PROBES if name in names), []
    if names & {"ablation", "specificity", "backup"}:  # they share their answers
        seconds += scored * (speed.forced + layers * heads * speed.condition)
        work.append(f"{layers * heads:,} heads silenced one by one in {scored:,} questions")
    if "attention" in names and any(step.boxes for q in study.whole.without_images() for step in q.steps):
        seconds += 4 * scored * speed.forced
        work.append("attention")
    if (
        "backup" in names
    ):  # halves of the heads that can be spared begin at the first block: twice the mean of single heads
        seconds += scored * 2 * HALVES * speed.condition
        work.append("halves of the heads that can be spared silenced together")
    if "multihead" in names:
        asked = min(scored, 32)
        # Screens edit single positions; halves, of all heads and then of stand-ins, begin at the first block: twice the mean.
        confirmed = min(scored, 64)
        seconds += asked * (speed.forced + speed.condition * (0.3 * 6 * layers * heads + 2 * 128 + layers * heads))
        seconds += confirmed * (speed.forced + speed.condition * (2 * 128 + layers * heads))
        work.append("halves of the heads silenced together")
    if names & set(PROBES):
        work.append("probes")
    if settings.twin and names & set(PROBES):
        seconds += (counts["P"] + scored) * speed.capture + sum(speed.probes.values()) * fitted * 0.3
    known = {"ablation", "specificity", "backup", "attention", "multihead", *PROBES, "random"}
    return ", ".join(work) or "scores", None if names - known else seconds


def _methods(settings: Settings, speed: Speed, counts: dict[str, int]) -> tuple[str, float | None]:
    if not settings.methods:
        return "none", 0.0
    seconds: float | None = 0.0
    for name in settings.methods:
        made = METHODS[name]()
        steps = getattr(made, "steps", None)
        if not isinstance(steps, int):
            seconds = None
            break
        fits = 1 + settings.n_method_controls * len(getattr(made, "controls", ()))
        fit = steps * settings.batch_size * speed.gradient + 6 * counts["T"] * speed.forced
        seconds = (seconds or 0.0) + fits * (fit + 3 * counts["E"] * speed.forced)
    return f"fit {', '.join(settings.methods)}, each with its controls", seconds


def _tokens(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((settings.tokens, *TOKENS)))


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{max(1, n_bytes / 2**20):.0f} MiB"


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    """Time the block; the function that is yielded gives its seconds."""
    took: list[float] = []
    start = time.perf_counter()
    yield lambda: took[0]
    took.append(time.perf_counter() - start)
