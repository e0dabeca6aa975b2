"""Synthetic worlds: activations and answers drawn from simple rules, so that many studies with known truth are cheap.

Every step has a margin, drawn once. Its answer is right if the margin is above 0, and the log-probability of the gold answer is
log sigmoid(margin). Ablating heads lowers margins by the rules of the world:

* a *single* head carries its function alone; of a *redundant* set any head is enough, so only removing the whole set does damage;
  of a *distributed* set each head carries an equal share;
* removing *format* heads makes the answers of every function unreadable;
* *diffuse* damage is in proportion to the number of heads removed, whichever they are.

A step's function can be decoded from the z of heads that carry it, and from *decoys*, whose removal does nothing. All other heads
have noise. In worlds about steering, z of the carriers also tells whether the step is answered right. There is no network: such
worlds test the statistics, not how activations are read from a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32

from headatlas.cogvsr.enough import SHARES
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import Runner
from headatlas.intervention.condition import digest

ABLATES = 0.5
"""An edit with a smaller factor ablates its heads."""


@dataclass(frozen=True)
class Rules:
    """The rules of a synthetic world.

    Attributes:
        shape: (layers, heads).
        carriers: by function its role (`single`, `redundant`, `distributed`) and heads.
        decoys: by function, heads from which it can be decoded although they have no effect.
        format_heads: heads whose removal makes answers of all functions unreadable.
        diffuse: damage of removing all heads that is shared equally between them, in units of the margin.
        ability: mean margin; 1.3 gives 90 % right answers, -0.7 about 24 %.
        carried: damage of losing a function's carriers, in units of the margin.
        noise: spread of the change in a step's margin for each removed head, each vector added and each picture shown.
        shown: by arm, what showing the question so adds to the margin of spatial steps (`shown_as`).
        steered: what adding a vector to z of a function's carriers does to its margin: nothing (""), as much as the vector
            points from wrong to right answers ("along"), or as much as it is long, whatever its direction ("any").
        response: size of that effect, in units of the margin, if every carrier's z moves by 1.
        evidence: how far apart z of right and of wrong answers is in carriers.
        questions: number of questions in all splits.
    """

    shape: tuple[int, int] = (6, 8)
    carriers: Mapping[str, tuple[str, tuple[Head, ...]]] = field(default_factory=dict)
    decoys: Mapping[str, tuple[Head, ...]] = field(default_factory=dict)
    format_heads: tuple[Head, ...] = ()
    diffuse: float = 0.0
    ability: float = 1.3
    carried: float = 2.5
    noise: float = 0.1
    shown: Mapping[str, float] = field(default_factory=dict)
    steered: Literal["", "along", "any"] = ""
    response: float = 0.0
    evidence: float = 0.0
    questions: int = 800


class SyntheticWorld:
    """A world drawn from `Rules`: its activations, its answers under ablation, and its truth; the same for the same seed."""

    size = 8
    """Dimensions of a head's z."""

    def __init__(self, rules: Rules, seed: int = 0) -> None:
        self.rules, self.seed = rules, seed
        self.steps = _steps(rules, np.random.default_rng([seed, 0]))
        rng = np.random.default_rng([seed, 1])
        n, heads = len(self.steps), rules.shape[0] * rules.shape[1]
        self._margin = rules.ability + rng.normal(size=n)
        self._jitter: Float32[np.ndarray, "N LH"] = rng.normal(size=(n, heads)).astype(np.float32) * rules.noise
        self._function = pd.Categorical(self.steps["function"], categories=list(FUNCTIONS)).codes

    def __repr__(self) -> str:
        layers, heads = self.rules.shape
        return f"SyntheticWorld: {layers} x {heads} heads, {len(self.steps)} steps, {len(self.rules.carriers)} functions carried"

    @cached_property
    def truth(self) -> Bool[np.ndarray, "F L H"]:
        """Which heads carry each function."""
        out = np.zeros((len(FUNCTIONS), *self.rules.shape), dtype=bool)
        for name, (_, heads) in self.rules.carriers.items():
            for head in heads:
                out[FUNCTIONS.index(name), head.layer, head.head] = True
        return out

    @cached_property
    def activations(self) -> SyntheticActivations:
        """z of every step."""
        rng = np.random.default_rng([self.seed, 2])
        layers, heads = self.rules.shape
        z = rng.normal(size=(len(self.steps), layers, heads, self.size)).astype(np.float32)
        known = {name: list(heads) for name, (_, heads) in self.rules.carriers.items()}
        for name, more in self.rules.decoys.items():
            known.setdefault(name, []).extend(more)
        for name, chosen in known.items():
            rows = self._function == FUNCTIONS.index(name)
            for head in chosen:
                z[rows, head.layer, head.head] += rng.normal(size=self.size).astype(np.float32)
        answers = self._answers((), slice(None))
        if self.rules.evidence:
            for name, (_, heads) in self.rules.carriers.items():
                rows = self._function == FUNCTIONS.index(name)
                sign = np.where(answers["correct"][rows], 0.5, -0.5).astype(np.float32)[:, None]
                for head in heads:
                    z[rows, head.layer, head.head] += (
                        self.rules.evidence * sign * self._toward_right[head.layer, head.head]
                    )
        return SyntheticActivations(self.steps.assign(**answers), z)

    @cached_property
    def _toward_right(self) -> Float32[np.ndarray, "L H D"]:
        """Unit directions from wrong answers to right ones."""
        drawn = np.random.default_rng([self.seed, 5]).normal(size=(*self.rules.shape, self.size)).astype(np.float32)
        return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)

    def shown_as(self, arm: str, split: str = "E") -> pd.DataFrame:
        """The answers table of a split with the questions shown as `arm`, one of `rules.shown`; unedited for "original"."""
        rows = (self.steps["split"] == split).to_numpy()
        gain = np.zeros(int(rows.sum()))
        if arm != "original":
            spatial = np.isin(self._function[rows], [FUNCTIONS.index(name) for name in SPATIAL])
            changed = np.random.default_rng([self.seed, 6, *arm.encode()]).normal(size=len(self.steps))[rows]
            gain = np.where(spatial, self.rules.shown[arm], 0.0) + self.rules.noise * changed
        return self.steps[rows].assign(**self._answers((), rows, gain)).reset_index(drop=True)

    def runner(self) -> Runner:
        """Evaluates conditions in this world: heads that are ablated (a factor near 0) or steered (a vector added to z)."""
        return Runner(self.vlm, self.data, evaluate=self.evaluate)

    @cached_property
    def vlm(self) -> SyntheticModel:
        """Stands in for the model."""
        return SyntheticModel(self.rules.shape, f"synthetic-{digest(self.seed, repr(self.rules))}")

    @cached_property
    def data(self) -> SyntheticData:
        """Stands in for the dataset."""
        return SyntheticData(self.steps)

    def evaluate(self, vlm: Any, questions: Sequence[Any], **options: Any) -> pd.DataFrame:
        """The answers table of some questions under the model's open edits; as `vlm.evaluate`."""
        wanted = {question.id for question in questions}
        rows = self.steps["question"].isin(wanted).to_numpy()
        return self.steps[rows].assign(**self._answers(self.vlm.active, rows)).reset_index(drop=True)

    def _answers(
        self, edits: Sequence[Any], rows: Any, gain: Float[np.ndarray, " N"] | float = 0.0
    ) -> dict[str, np.ndarray]:
        """Answers under edits; `gain` is added to the margins."""
        rules, function = self.rules, self._function[rows]
        gone = frozenset(head for edit in edits if edit.factor < ABLATES for head in edit.heads)
        numbers = [head.layer * rules.shape[1] + head.head for head in sorted(gone)]
        margin = self._margin[rows] - self._jitter[rows][:, numbers].sum(1)
        margin = margin + gain + self._pushed(edits, function)
        margin = margin - rules.diffuse * len(gone) / (rules.shape[0] * rules.shape[1])
        for name, (role, heads) in rules.carriers.items():
            share = len(gone & set(heads)) / len(heads)
            lost = share if role == "distributed" else float(share == 1) if role == "redundant" else float(share > 0)
            margin = margin - np.where(function == FUNCTIONS.index(name), lost * rules.carried, 0.0)
        broken = bool(gone & set(rules.format_heads))
        unreadable = np.random.default_rng([self.seed, 3]).random(len(self.steps))[rows] < (0.8 if broken else 0.0)
        margin = margin - 6.0 * unreadable
        return {
            "correct": (margin > 0) & ~unreadable,
            "unparsable": unreadable,
            "logprob": -np.logaddexp(0.0, -3.0 * margin),
        }

    def _pushed(self, edits: Sequence[Any], function: np.ndarray) -> Float[np.ndarray, " N"]:
        """What vectors added to z do to the margins of steps: noise of its own for every edit, and what the rules say."""
        out = np.zeros(len(function))
        for edit in edits:
            if edit.factor < ABLATES:
                continue
            own = np.random.default_rng([self.seed, 7, int(edit.fingerprint[:12], 16)])
            out += self.rules.noise * own.normal(size=len(out))
            if not self.rules.steered:
                continue
            shift = np.asarray(edit.shift, dtype=np.float32)
            for name, (_, heads) in self.rules.carriers.items():
                moved = [shift[head.layer, head.head] for head in heads if head in edit.heads]
                if self.rules.steered == "along":
                    toward = [self._toward_right[head.layer, head.head] for head in heads if head in edit.heads]
                    size = sum(float(v @ u) for v, u in zip(moved, toward, strict=True))
                else:
                    size = sum(float(np.linalg.norm(v)) for v in moved)
                out[function == FUNCTIONS.index(name)] += self.rules.response * size / len(heads)
        return out


@dataclass(frozen=True)
class SyntheticActivations:
    """Activations in memory, with the interface that scorers use."""

    steps: pd.DataFrame
    array: Float32[np.ndarray, "N L H D"]
    tokens: tuple[str, ...] = ("all", "predict", "gold")

    def z(self, tokens: str, rows: Any = None) -> Float32[np.ndarray, "N L H D"]:
        """z of all steps, or of the rows given; the same for every token selection."""
        return self.array if rows is None else self.array[rows]


class SyntheticModel:
    """A stand-in for a VLM with the interface that `Runner` and scorers use."""

    def __init__(self, shape: tuple[int, int], name: str) -> None:
        self.name = self.fingerprint = name
        self.heads = _Grid(shape)
        self.active: tuple[Any, ...] = ()

    @contextmanager
    def edit(self, *edits: Any, scope: str = "all", rows: Any = None) -> Iterator[SyntheticModel]:
        """Heads are edited while the context is open.

        Raises `HeadAtlasError` for an edit that neither ablates heads nor adds one vector to their z.
        """
        for edit in edits:
            factor, shift = getattr(edit, "factor", math.nan), getattr(edit, "shift", None)
            if not (factor < ABLATES or (factor == 1.0 and shift is not None and shift.ndim == 3)):
                raise HeadAtlasError(f"a synthetic world must be edited by ablation or by steering, got {edit}")
        self.active = edits
        try:
            yield self
        finally:
            self.active = ()


@dataclass(frozen=True)
class _Grid:
    shape: tuple[int, int]

    def padded(self, tower: str = "L") -> tuple[int, int, int]:
        """(L, H, D) of the only tower."""
        return (*self.shape, SyntheticWorld.size)

    def heads(self, tower: str = "L") -> HeadSet:
        """All heads."""
        return HeadSet(Head(layer, head) for layer in range(self.shape[0]) for head in range(self.shape[1]))


@dataclass(frozen=True)
class _Question:
    id: str
    images: tuple[Any, ...] = ()


class SyntheticData:
    """A stand-in for a dataset with the interface that `Runner` uses."""

    def __init__(self, steps: pd.DataFrame) -> None:
        self._steps = steps
        self.fingerprint = f"synthetic-{pd.util.hash_pandas_object(steps).sum()}"

    def split(self, name: str) -> list[_Question]:
        """The questions of one split."""
        return [_Question(str(q)) for q in self._steps.loc[self._steps["split"] == name, "question"].unique()]

    def steps(self) -> pd.DataFrame:
        """The steps, with their text."""
        return self._steps.assign(text_of_step=self._steps["kind"])


def _steps(rules: Rules, rng: np.random.Generator) -> pd.DataFrame:
    """Five to seven steps for each question, with functions in random order; answers do not depend on the function."""
    rows = []
    bounds = np.cumsum([round(share * rules.questions) for share in SHARES.values()])
    for q in range(rules.questions):
        split = list(SHARES)[min(int(np.searchsorted(bounds, q, side="right")), 3)]
        chosen = rng.permutation(len(FUNCTIONS))[: int(rng.integers(5, 8))]
        for i, c in enumerate(chosen):
            name = FUNCTIONS[c]
            gold = "yes" if rng.random() < 0.5 else "no"
            rows.append((f"q{q:05d}", i, len(chosen), split, f"s{q:05d}", name, name, gold))
    columns = ["question", "step", "n_steps", "split", "scene", "function", "functions", "gold"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(
        source="synthetic", family="synthetic", kind="synthetic", answer_type="yes_no", text=table["gold"]
    )


def drawn(kind: str, seed: int, questions: int = 800, shape: tuple[int, int] = (6, 8)) -> SyntheticWorld:
    """A world of a named kind (`KINDS`), with heads drawn from the seed. Raises `HeadAtlasError` for another kind."""
    if kind not in KINDS:
        raise HeadAtlasError(f"kind of world must be one of {', '.join(KINDS)}; got {kind!r}")
    rng = np.random.default_rng([seed, 4, *kind.encode()])
    layers, heads = shape
    free = iter([Head(int(i) // heads, int(i) % heads) for i in rng.permutation(layers * heads)])

    def take(n: int) -> tuple[Head, ...]:
        return tuple(sorted(next(free) for _ in range(n)))

    base: dict[str, Any] = {"shape": shape, "questions": questions}
    if kind in EFFECTS:
        carriers = {name: ("distributed", take(2)) for name in FUNCTIONS}
        return SyntheticWorld(Rules(carriers=carriers, ability=HEADROOM, **EFFECTS[kind], **base), seed)
    sizes = {"planted": (1, 1, 3, 3, 2, 2, 3, 3), "equal": (2,) * 8, "many": (4, 4, 1, 1, 1, 1, 1, 1)}
    if kind in sizes:
        roles = {"planted": ("single", "distributed"), "equal": ("distributed",), "many": ("distributed",)}[kind]
        carriers = {
            name: (roles[0] if size == 1 else roles[-1], take(size))
            for name, size in zip(FUNCTIONS, sizes[kind], strict=True)
        }
        return SyntheticWorld(Rules(carriers=carriers, decoys={name: take(1) for name in FUNCTIONS[:4]}, **base), seed)
    if kind == "redundant":
        roles = {name: "redundant" if i < 2 else "single" for i, name in enumerate(FUNCTIONS)}
        carriers = {name: (role, take(2 if role == "redundant" else 1)) for name, role in roles.items()}
        return SyntheticWorld(Rules(carriers=carriers, **base), seed)
    if kind == "shared":
        common = take(3)
        return SyntheticWorld(Rules(carriers=dict.fromkeys(FUNCTIONS, ("distributed", common)), **base), seed)
    if kind == "format":
        return SyntheticWorld(Rules(format_heads=take(3), **base), seed)
    if kind == "diffuse":
        return SyntheticWorld(Rules(diffuse=3.0, **base), seed)
    return SyntheticWorld(Rules(ability=-0.7, decoys={name: take(1) for name in FUNCTIONS}, **base), seed)


HEADROOM = 0.7
"""Mean margin where something is to be gained: 76 % right answers."""

EFFECTS: dict[str, dict[str, Any]] = {
    "helped": {"shown": {"boxes+mask": 0.5, "random_boxes": 0.0}},
    "any picture": {"shown": {"boxes+mask": 0.5, "random_boxes": 0.5}},
    "unhelped": {"shown": {"boxes+mask": 0.0, "random_boxes": 0.0}},
    "misled": {"shown": {"boxes+mask": 0.0, "random_boxes": -0.5}},
    "steerable": {"steered": "along", "response": 0.4, "evidence": 1.5},
    "any push": {"steered": "any", "response": 0.4, "evidence": 1.5},
    "read only": {"evidence": 1.5},
}
"""Rules of the worlds in which something may improve answers: pictures with marks, or steering."""

KINDS: dict[str, str] = {
    "planted": "every function is carried by heads of its own, spatial ones by the fewest",
    "equal": "every function is carried by two heads of its own",
    "many": "spatial functions are carried by four heads each, the others by one",
    "redundant": "spatial functions are carried by either of two heads each, the others by one",
    "shared": "all functions are carried by the same three heads",
    "format": "three heads carry the form of answers, none per function",
    "diffuse": "every head carries an equal share of every function",
    "chance": "the model cannot do the task; functions can be decoded from decoys",
    "helped": "boxes and masks at the right places help spatial steps, others do not",
    "any picture": "boxes help wherever they are",
    "unhelped": "boxes and masks change single answers, and none for the better on average",
    "misled": "boxes and masks do not help, and boxes at random places hurt",
    "steerable": "z tells right answers from wrong ones, and moving it that way makes more of them right",
    "any push": "z tells right answers from wrong ones, and moving it in any direction makes more of them right",
    "read only": "z tells right answers from wrong ones, and moving it changes nothing",
}
"""Kinds of synthetic world, each with a description."""
