"""The report's first paragraph, put together from the run's own numbers.

Knows the results tables; every sentence is left out if its numbers are missing, and none says more than a table does.
"""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.sections.common import all_scorers, headline_selector
from headatlas.report.tables import Run, only


def summarise(run: Run) -> list[str]:
    """The sentences of the opening paragraph, in order."""
    made = (_ability(run), _verdicts(run), _heads(run), _agreement(run), _removal(run), _activation(run))
    return [sentence for sentence in made if sentence]


def _one(frame: pd.DataFrame, column: str, **where: str) -> float | None:
    values = only(frame, **where)[column].dropna()
    return float(values.iloc[0]) if len(values) == 1 else None


def _ability(run: Run) -> str:
    rows = run.tables["baseline"]
    final = only(rows, group_kind="final")
    model = str(run.settings.get("model") or "The model")
    own, blind = (_one(final, "accuracy", context=c) for c in ("own", "own_no_image"))
    if own is None:
        own, blind = (_one(final, "accuracy", context=c) for c in ("gold", "gold_no_image"))
    if own is None:
        return ""
    n = final["n"].max()
    tail = f", and {words.percent(blind)} when it cannot see the image" if blind is not None else ""
    return f"{model} gets the final answer of {words.percent(own)} of {words.count(n)} questions right{tail}."


def _verdicts(run: Run) -> str:
    if not run.claims:
        return ""
    counts = {verdict: sum(c.get("verdict") == verdict for c in run.claims) for verdict in words.VERDICTS}
    n_claims = len({c.get("id") for c in run.claims})
    parts = [f"{number} {verdict}" for verdict, number in counts.items() if number]
    each = ", one for each scorer where heads are involved" if len(run.claims) > n_claims else ""
    if not parts:
        return ""
    return f"The paper's {n_claims} claims get {len(run.claims)} verdicts here{each}: {words.listing(parts)}."


def _heads(run: Run) -> str:
    frame = run.tables["selection"]
    parts = []
    for scorer in all_scorers(run):
        rows = only(frame, scorer=scorer, selector=headline_selector(run, scorer))
        if rows.empty or rows["count"].isna().all():
            continue
        low, high = int(rows["count"].min()), int(rows["count"].max())
        span = f"{low}" if low == high else f"{low} to {high}"
        parts.append(f"{span} by {_the(scorer)}")
    shape = run.settings.get("shape")
    total = (
        f" of the model's {shape[0] * shape[1]:,} heads" if isinstance(shape, list) and len(shape) == 2 else " heads"
    )
    return f"How many{total} a function gets depends on the scorer: {words.listing(parts)}." if parts else ""


def _agreement(run: Run) -> str:
    frame = run.tables["agreement"]
    rows = only(frame, scorer="paper")["spearman"].dropna()
    if rows.empty:
        return ""
    low, high = words.number(rows.min()), words.number(rows.max())
    return (
        f"The order in which the paper's probe puts the heads correlates with that of exact ablation by {low} to {high}, "
        "depending on the function (1: the same order, 0: unrelated)."
    )


def _removal(run: Run) -> str:
    frame = only(run.tables["negative"], function=list(SPATIAL))
    wanted = [run.settings.get("operation"), "scale", "mean", "zero"]
    operation = next((name for name in wanted if name in set(frame["operation"])), "")
    frame = only(frame, operation=operation)
    parts = []
    for scorer in all_scorers(run):
        rows = only(frame, scorer=scorer)
        if rows.empty or rows["drop"].isna().any():
            continue
        drop, random = 100 * rows["drop"].mean(), 100 * rows["random_drop"].mean()
        parts.append(
            f"{words.number(drop, 1)} points (as many random heads: {words.number(random, 1)}) with {_the(scorer)}"
        )
    if not parts:
        return ""
    return f"Silencing the heads of the two spatial functions costs their steps {words.listing(parts)}."


def _activation(run: Run) -> str:
    frame = run.tables["activation"]
    frame = only(frame, group="spatial", arm="boxes+mask")
    if len(frame) != 1 or frame["gain"].isna().any():
        return ""
    row = frame.iloc[0]
    span = words.interval(words.points(row["low"]), words.points(row["high"]))
    return (
        f"Drawing boxes and masking objects, the paper's way of waking spatial heads, changes spatial accuracy by "
        f"{words.points(row['gain'])} points" + (f" (95 % interval {span})." if span else ".")
    )


def _the(scorer: str) -> str:
    name = words.scorer(scorer)
    return f"the {name[:1].lower()}{name[1:]}" if scorer in words.SCORERS else name
