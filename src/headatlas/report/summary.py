"""The opening paragraph of the report, generated from the run's numbers.

A sentence whose numbers are missing is left out.
"""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.blocks import all_scorers, headline_selector
from headatlas.report.tables import Run, only


def summarise(run: Run) -> list[str]:
    """The sentences of the opening paragraph, in order."""
    sentences = (_ability(run), _verdicts(run), _heads(run), _agreement(run), _removal(run), _activation(run))
    return [sentence for sentence in sentences if sentence]


def _one(frame: pd.DataFrame, column: str, **where: str) -> float | None:
    values = only(frame, **where)[column].dropna()
    return float(values.iloc[0]) if len(values) == 1 else None


def _ability(run: Run) -> str:
    final = only(run.tables["baseline"], group_kind="final")
    model = str(run.settings.get("model") or "The model")
    own, blind = (_one(final, "accuracy", context=c) for c in ("own", "own_no_image"))
    if own is None:
        own, blind = (_one(final, "accuracy", context=c) for c in ("gold", "gold_no_image"))
    if own is None:
        return ""
    n = final["n"].max()
    without = f", and {words.percent(blind)} without the image" if blind is not None else ""
    return f"{model} answers {words.percent(own)} of {words.count(n)} questions correctly{without}."


def _verdicts(run: Run) -> str:
    if not run.claims:
        return ""
    counts = {verdict: sum(c.get("verdict") == verdict for c in run.claims) for verdict in words.VERDICTS}
    n_claims = len({c.get("id") for c in run.claims})
    parts = [f"{number} {verdict}" for verdict, number in counts.items() if number]
    each = " (one for each scorer where heads are involved)" if len(run.claims) > n_claims else ""
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
        parts.append(f"{span} by {words.scorer_title(scorer)}")
    shape = run.settings.get("shape")
    total = (
        f" of the model's {shape[0] * shape[1]:,} heads"
        if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
        else " heads"
    )
    return (
        f"How many{total} are selected for a function depends on the scorer: {words.listing(parts)}." if parts else ""
    )


def _agreement(run: Run) -> str:
    rows = only(run.tables["agreement"], scorer="paper")["spearman"].dropna()
    if rows.empty:
        return ""
    low, high = words.number(rows.min()), words.number(rows.max())
    return (
        f"The rank correlation over heads between the paper's probe and exact ablation is {low} to {high}, depending on the "
        "function (1: the same order, 0: unrelated)."
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
        loss, random = words.points(-rows["drop"].mean()), words.points(-rows["random_drop"].mean())
        parts.append(f"{loss} points (as many random heads: {random}) with heads from {words.scorer_title(scorer)}")
    if not parts:
        return ""
    return (
        f"Silencing the heads of the two spatial functions changes accuracy on their steps by {words.listing(parts)}."
    )


def _activation(run: Run) -> str:
    frame = only(run.tables["activation"], group="spatial", arm="boxes+mask")
    if len(frame) != 1 or frame["gain"].isna().any():
        return ""
    row = frame.iloc[0]
    span = words.interval(words.points(row["low"]), words.points(row["high"]))
    return (
        "Drawing boxes and masking objects, the paper's way to activate spatial heads, changes spatial accuracy by "
        f"{words.points(row['gain'])} points" + (f" (95 % interval {span})." if span else ".")
    )
