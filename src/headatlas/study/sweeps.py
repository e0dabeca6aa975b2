"""Exact sweeps in a run directory: every head, every pair of a set, a ranking head by head, a greedy minimal set.

Sweeps are not stages, because no verdict needs them. Their tables are in `sweep/`, each with a record of what it was run with;
report and explorer show them. Answers are cached for each condition, so a sweep that was killed continues where it stopped. A
new sweep is one more function in `SWEEPS`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.heads.scope import check_scope
from headatlas.intervention import cumulative_curve, greedy_set, negative, pair_effects, random_sets
from headatlas.progress import Progress
from headatlas.registry import Registry
from headatlas.results.sweep_files import FOLDER, write_sweep_record
from headatlas.results.sweeps import SWEEP_TABLES
from headatlas.scoring import head_sweep
from headatlas.study.stages.base import repair, with_intact_activations
from headatlas.study.study import Study


@dataclass(frozen=True)
class SweepRequest:
    """The arguments of `run_sweep`."""

    study: Study
    functions: tuple[str, ...]
    scorer: str
    split: str
    scope: str
    top: int | None

    @property
    def common(self) -> dict[str, Any]:
        """Operation, means and scope, as the functions of `headatlas.intervention` take them."""
        return {"operation": self.study.settings.operation, "means": self.study.means, "scope": self.scope}

    @property
    def boot(self) -> dict[str, Any]:
        """Resamples and seed of the intervals."""
        return {"n_boot": self.study.settings.n_bootstrap, "seed": self.study.settings.seed}

    def heads(self, function: str) -> HeadSet:
        """The heads to sweep: those selected, or the first `top` of the ranking."""
        if self.top is None:
            return self.study.head_set(function, self.scorer)
        ranking = self.study.atlas.ranking(function, self.scorer)
        return HeadSet(ranking[: self.top], reason=f"the top {self.top} of the ranking")

    @property
    def hint(self) -> str:
        """What to do where too few heads are selected."""
        return "" if self.top is not None else "; --top N takes the first N of the ranking"

    def progress(self, title: str) -> Progress:
        """Reports to the study under one title."""
        return lambda _, done, total: self.study.report(title, done, total)


@dataclass(frozen=True)
class SweepKind:
    """One kind of sweep.

    Attributes:
        run: computes it and returns the files written.
        needs: the last stage that must have run.
        takes_heads: whether it takes a set of heads, so that `top` applies.
        takes_split: whether the caller may choose the split.
        takes_scorer: whether it takes a scorer's ranking or selection.
    """

    run: Callable[[SweepRequest], list[Path]]
    needs: str
    takes_heads: bool = False
    takes_split: bool = True
    takes_scorer: bool = True


N_ORDERS = 5
"""Random orders beside a cumulative curve."""

SWEEPS: Registry[SweepKind] = Registry("sweep")
"""Sweeps by name: `heads`, `pairs`, `cumulative`, `greedy`; `SWEEPS.add(name, kind)` adds another."""


def run_sweep(
    study: Study,
    what: str,
    functions: Sequence[str] | None = None,
    scorer: str = "ablation",
    split: str | None = None,
    scope: str = "all",
    top: int | None = None,
) -> list[Path]:
    """Run one sweep by the study's operation and write its table to `RUN/sweep/`.

    Args:
        study: an open study whose stages up to the sweep's `needs` are done.
        what: one of `SWEEPS`. `heads`: each head alone, on every question, by function; `pairs`: each pair of a function's
            selected heads; `cumulative`: a function's ranking removed head by head; `greedy`: a minimal set of a function's
            selected heads, chosen on split S and evaluated on split E.
        functions: the functions whose steps and heads the last three use; None: the spatial ones that the data have.
        scorer: whose ranking or selection the last three take.
        split: split to evaluate on; by default E, and for `greedy` it must be left out.
        scope: token positions at which heads are removed, one of `heads.SCOPES`.
        top: for `pairs` and `greedy`: take this many heads from the top of the ranking, whether or not they were selected.

    Returns:
        The files written. A function without enough heads has one row that gives the `reason`.

    Raises:
        HeadAtlasError: an unknown sweep, function, scorer or scope, a stage that has not run, an option that the sweep does
            not take, or another process in the same run.
    """
    kind = SWEEPS[what]
    if not kind.takes_split and split is not None:
        raise HeadAtlasError(f"sweep {what!r} chooses heads on split S and evaluates them on E: leave --split out")
    if top is not None and (not kind.takes_heads or top < 1):
        names = " and ".join(name for name, one in SWEEPS.items() if one.takes_heads)
        raise HeadAtlasError(f"top must be at least 1 and is for the sweeps {names}, got top={top} with sweep {what!r}")
    for function in functions or ():
        check_function(function)
    check_scope(scope)
    if kind.takes_scorer and scorer not in study.scorers:
        raise HeadAtlasError(f"scorer must be one of this run's, {', '.join(study.scorers)}; got {scorer!r}")
    if not study.run.has_run(kind.needs):
        raise HeadAtlasError(
            f"sweep {what!r} needs the stage {kind.needs!r}: run "
            f"`headatlas {kind.needs} --out {shlex.quote(str(study.run.root))}` first"
        )
    with study.run.locked():
        repair(study, kind.needs)
        there = tuple(name for name in SPATIAL if name in study.functions) if functions is None else tuple(functions)
        request = SweepRequest(study, there, scorer, split or "E", scope, top)
        (study.run.root / FOLDER / f"{what}.json").unlink(missing_ok=True)  # its files are about to be written again
        files = with_intact_activations(study, lambda: kind.run(request))
        facts = {
            "split": request.split, "operation": study.settings.operation, "scope": scope, "top": top,
            "scorer": scorer if kind.takes_scorer else "", "scored_on": "S",
        }  # fmt: skip
        if what in SWEEP_TABLES:
            write_sweep_record(study.run.root, what, facts, files, kind.needs)
        return files


def _heads(request: SweepRequest) -> list[Path]:
    study = request.study
    result = head_sweep(
        study.runner(), study.vlm.heads.shape, split=request.split, progress=request.progress("sweep of all heads"),
        **request.common, **request.boot,
    )  # fmt: skip
    return list(result.save(study.run.root / "sweep"))


def _each_function(name: str, one: Callable[[SweepRequest, str], pd.DataFrame]) -> Callable[[SweepRequest], list[Path]]:
    """A sweep that writes the rows of every function to `sweep/<name>.csv`."""

    def run(request: SweepRequest) -> list[Path]:
        table = pd.concat([one(request, function) for function in request.functions], ignore_index=True)
        table = SWEEP_TABLES[name].check(f"sweep/{name}", table.reindex(columns=list(SWEEP_TABLES[name].names)))
        return [request.study.run.write_text(f"sweep/{name}.csv", table.to_csv(index=False))]

    return run


def _pairs(request: SweepRequest, function: str) -> pd.DataFrame:
    heads = request.heads(function)
    if len(heads) < 2:
        why = f"{len(heads)} selected{f': {heads.reason}' if heads.reason else ''}"
        return _nothing(request, function, why + request.hint)
    result = pair_effects(
        request.study.runner(), heads, function, split=request.split,
        progress=request.progress(f"pairs of {function}, {request.scorer}"), **request.common, **request.boot,
    )  # fmt: skip
    return result.assign(scorer=request.scorer)


def _cumulative(request: SweepRequest, function: str) -> pd.DataFrame:
    return cumulative_curve(
        request.study.runner(), request.study.atlas.ranking(function, request.scorer), function, scorer=request.scorer,
        split=request.split, n_random=N_ORDERS, progress=request.progress(f"cumulative curve of {function}, {request.scorer}"),
        **request.common, **request.boot,
    )  # fmt: skip


def _greedy(request: SweepRequest, function: str) -> pd.DataFrame:
    candidates, runner = request.heads(function), request.study.runner()
    if not candidates:
        return _nothing(request, function, candidates.reason + request.hint)
    progress = request.progress(f"minimal set of {function}, {request.scorer}")
    minimal = greedy_set(runner, candidates, function, split="S", progress=progress, **request.common)
    if not minimal.heads:
        return _nothing(request, function, minimal.heads.reason)
    # The moves were chosen and measured on split S. What follows is the effect of the chosen set on split E, beside random sets.
    study = request.study
    functional = {head for name in FUNCTIONS for head in study.head_set(name, request.scorer)}
    controls = random_sets(
        minimal.heads, study.vlm.heads.shape, study.settings.n_random, match="layer", rng=study.settings.seed,
        exclude=functional,
    )  # fmt: skip
    result: Any = negative(
        runner,
        minimal.heads,
        function,
        controls,
        split=request.split,
        progress=progress,
        **request.common,
        **request.boot,
    )
    rows = [
        {
            "move": f"chosen set, split {request.split}", "head": result["heads"], "accuracy": result["after"],
            "accuracy_drop": result["drop"], "low": result["low"], "high": result["high"], "p": result["p"],
            "unparsable": result["unparsable_after"],
        }
    ]  # fmt: skip
    if controls:
        rows.append(
            {
                "move": f"random sets, split {request.split}", "head": f"{len(controls)} sets, {result['match']}",
                "accuracy": result["before"] - result["random_drop"], "accuracy_drop": result["random_drop"],
                "low": result["random_low"], "high": result["random_high"],
            }
        )  # fmt: skip
    last = pd.DataFrame(rows).assign(function=function, k=len(minimal.heads), n=result["n"])
    return pd.concat([minimal.path, last], ignore_index=True).assign(scorer=request.scorer)


def _nothing(request: SweepRequest, function: str, reason: str) -> pd.DataFrame:
    """The one row of a function without heads."""
    return pd.DataFrame([{"function": function, "scorer": request.scorer, "reason": reason.rstrip(".")}])


SWEEPS.add("heads", SweepKind(_heads, "capture", takes_scorer=False))
SWEEPS.add("pairs", SweepKind(_each_function("pairs", _pairs), "select", takes_heads=True))
SWEEPS.add("cumulative", SweepKind(_each_function("cumulative", _cumulative), "score"))
SWEEPS.add("greedy", SweepKind(_each_function("greedy", _greedy), "select", takes_heads=True, takes_split=False))
