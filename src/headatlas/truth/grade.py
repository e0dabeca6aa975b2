"""Grading of scorers and selectors on worlds whose truth is known.

* **Planted worlds** (real models): how well a scorer ranks the planted heads (AUPRC, precision at the number of planted heads),
  and how well the sets that a selector takes from its scores match them (precision, recall, F1).
* **Null worlds** (real models in which no head has a function): how many heads are selected nevertheless. The untrained twin has
  learned nothing; with exchanged labels a head's activity is unrelated to the functions.

Scenes for grading have seeds of their own (`SEED`), other than those of training and of verifying the truth.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score

from headatlas.activations import capture
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.intervention import Runner
from headatlas.progress import Progress
from headatlas.scenes.build import build
from headatlas.scoring import Scores, ScoringInputs, get_scorer, select
from headatlas.scoring.functional import TWIN
from headatlas.truth.world import World, exchanged, load_world
from headatlas.vlm import VLM, load_vlm, untrained_twin

SEED = 40_000
"""First seed of the scenes on which scorers are graded."""

NULLS = ("twin", "exchanged")
"""Null worlds that are made of a model."""

RANKERS = ("random", "norm", "variance")
"""Scorers without a null, whose selected sets are not graded."""


@dataclass(frozen=True)
class Case:
    """One model with data on which scorers are run.

    Attributes:
        name: of the world.
        kind: `planted`, `twin` or `exchanged`.
        vlm: the model.
        data: its questions, with splits P and S.
        truth: the heads that carry each function; None in null worlds.
        roles: role of each planted function.
        ignored: heads that every function needs, which count neither as right nor as wrong; None: none.
    """

    name: str
    kind: str
    vlm: VLM
    data: CogVSR
    truth: Bool[np.ndarray, "F L H"] | None = None
    roles: dict[str, str] | None = None
    ignored: Bool[np.ndarray, "L H"] | None = None


def planted_case(world: World | str, n: int = 400, seed: int = 0) -> Case:
    """A planted world with fresh scenes."""
    planted = load_world(world) if isinstance(world, str) else world
    vlm = load_vlm(planted.path)
    roles = {one.function: one.role for one in planted.usable}
    shape = vlm.heads.shape
    return Case(planted.name, "planted", vlm, _scenes(n, seed), planted.truth(shape), roles, planted.general(shape))


def null_case(model: str, kind: str, n: int = 400, seed: int = 0) -> Case:
    """A null world made of a model: its `twin` without training, or itself with `exchanged` labels.

    Raises:
        HeadAtlasError: another kind.
    """
    if kind not in NULLS:
        raise HeadAtlasError(f"kind of null world must be one of {', '.join(NULLS)}; got {kind!r}")
    vlm, data = load_vlm(model), _scenes(n, seed)
    if kind == "twin":
        return Case(f"{model}, untrained twin", kind, untrained_twin(vlm, seed + 1), data)
    return Case(f"{model}, exchanged labels", kind, vlm, exchanged(data, seed))


def _scenes(n: int, seed: int) -> CogVSR:
    return CogVSR.from_questions(build(n, SEED + seed, splits=("P", "S")))


def scored(
    case: Case, scorers: Sequence[str], twin: bool = True, progress: Progress | None = None
) -> dict[str, Scores]:
    """The scores of every scorer on a case, with those of the untrained twin where the scorer asks for them.

    `info["seconds"]` is the time of each scorer, its twin included; answers that two scorers share are counted for the first.
    """
    inputs = _inputs(case, case.vlm, progress)
    runner: Any = Runner(case.vlm, case.data)
    base = (
        _inputs(case, untrained_twin(case.vlm, 0), progress)
        if twin and any(get_scorer(s).twin for s in scorers)
        else None
    )
    out = {}
    for name in scorers:
        started = time.perf_counter()
        scores_of = get_scorer(name)(inputs, **get_scorer(name).taken(runner=runner))
        if base is not None and get_scorer(name).twin:
            other = get_scorer(name)(replace(base, n_null=0))
            scores_of = replace(scores_of, arrays=scores_of.arrays | {TWIN: other.values})
        out[name] = replace(scores_of, info=scores_of.info | {"seconds": time.perf_counter() - started})
    return out


def _inputs(case: Case, vlm: VLM, progress: Progress | None) -> ScoringInputs:
    acts = capture(vlm, case.data, ("predict", "all"))
    return ScoringInputs(acts, "predict", vlm=vlm, data=case.data, progress=progress)


def grade_case(
    case: Case, scores: dict[str, Scores], selectors: Sequence[str] = ("functional", "null")
) -> pd.DataFrame:
    """Grades of one case.

    Returns:
        One row per scorer, selector and function that the truth covers (all functions in null worlds): world, kind, scorer,
        selector, function, role, auprc, precision_at (of the |S| best), selected, hits, size (|S|), heads (of the model),
        seconds. Rankings do not depend on the selector and are repeated.
    """
    rows = []
    for name, found in scores.items():
        for selector in () if name in RANKERS else selectors:
            rows += _rows(case, name, found, selector)
        if name in RANKERS:
            rows += _rows(case, name, found, "")
    return pd.DataFrame(rows, columns=list(COLUMNS))


COLUMNS = (
    "world", "kind", "scorer", "selector", "function", "role", "auprc", "precision_at", "selected", "hits", "size", "heads",
    "seconds",
)  # fmt: skip


def _rows(case: Case, name: str, found: Scores, selector: str) -> list[tuple[Any, ...]]:
    rows = []
    for c, function in enumerate(FUNCTIONS):
        truth = None if case.truth is None else case.truth[c]
        if truth is not None and not truth.any():
            continue
        chosen = select(found, function, selector).mask(found.shape) if selector else np.zeros(found.shape, bool)
        if case.ignored is not None:
            chosen = chosen & ~case.ignored
        auprc, at = (np.nan, np.nan) if truth is None else ranked_against(found.values[c], truth, case.ignored)
        rows.append((
            case.name, case.kind, name, selector, function, (case.roles or {}).get(function, ""), auprc, at, int(chosen.sum()),
            0 if truth is None else int((chosen & truth).sum()), 0 if truth is None else int(truth.sum()), chosen.size,
            found.info.get("seconds", np.nan),
        ))  # fmt: skip
    return rows


def ranked_against(
    values: Float[np.ndarray, "L H"], truth: Bool[np.ndarray, "L H"], ignored: Bool[np.ndarray, "L H"] | None = None
) -> tuple[float, float]:
    """AUPRC of a ranking, and the share of true heads among its |S| best, `ignored` heads left out; ties by layer and head."""
    graded = np.ones(truth.size, bool) if ignored is None else ~ignored.ravel()
    scores, right = values.ravel()[graded], truth.ravel()[graded]
    order = np.argsort(-scores, kind="stable")
    return float(average_precision_score(right, scores)), float(right[order[: int(right.sum())]].mean())


def summary(grades: pd.DataFrame) -> pd.DataFrame:
    """One row per scorer and selector, over all cases.

    Returns:
        scorer, selector; of planted worlds `auprc` and `precision_at` (mean over functions and worlds, its 95 % interval over
        functions in `precision_low` and `precision_high`), `precision`, `recall`, `f1` of the selected sets (pooled); of null
        worlds `false` (share of all heads x functions selected) by kind; `seconds` (mean).
    """
    rows = []
    for (scorer, selector), some in grades.groupby(["scorer", "selector"], sort=False):
        planted = some[some["kind"] == "planted"]
        row: dict[str, Any] = {"scorer": scorer, "selector": selector, "functions": len(planted)}
        if len(planted):
            values = planted["precision_at"].to_numpy(float)
            rng = np.random.default_rng(0)
            draws = values[rng.integers(0, len(values), size=(2_000, len(values)))].mean(1)
            low, high = np.quantile(draws, [0.025, 0.975])
            row |= {
                "auprc": planted["auprc"].mean(),
                "precision_at": values.mean(),
                "precision_low": low,
                "precision_high": high,
            }
            hits, chosen, size = (int(planted[key].sum()) for key in ("hits", "selected", "size"))
            if selector:
                row |= {"precision": hits / chosen if chosen else np.nan, "recall": hits / size}
                row |= {"f1": 2 * hits / (chosen + size)}
        for kind in NULLS:
            null = some[some["kind"] == kind]
            if len(null) and selector:
                row[f"false_{kind}"] = null["selected"].sum() / null["heads"].sum()
        rows.append(row | {"seconds": some["seconds"].mean()})
    return pd.DataFrame(rows)
