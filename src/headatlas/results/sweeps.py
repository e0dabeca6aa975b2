"""The tables of sweeps, `RUN/sweep/*.csv`: what each holds, and its columns."""

from __future__ import annotations

from headatlas.results.table import Column, Table

_FUNCTION = Column("function", "text", "cognitive function of the steps; empty for all steps", gaps=True)
_SCORER = Column("scorer", "text", "whose ranking or selection was taken", gaps=True)
_REASON = Column("reason", "text", "why there is nothing to measure", gaps=True)


def _drop(name: str, meaning: str) -> Column:
    return Column(name, "number", meaning, "nats", gaps=True)


def _bounds(unit: str = "", prefix: str = "") -> tuple[Column, Column]:
    kind = "number" if unit else "change"
    return (
        Column(f"{prefix}low", kind, "lower bound of the 95 % interval", unit, gaps=True),
        Column(f"{prefix}high", kind, "upper bound of the 95 % interval", unit, gaps=True),
    )


_N = Column("n", "count", "steps", "steps", gaps=True)

SWEEP_TABLES: dict[str, Table] = {
    "heads": Table(
        "The effect of removing each head alone, on the steps of each function.",
        (
            _FUNCTION,
            Column("layer", "count", "layer of the head, from 0"),
            Column("head", "count", "head within its layer, from 0"),
            _drop("loss", "mean fall of the log-probability of the gold answer"), *_bounds("nats", "loss_"),
            Column("drop", "change", "fall of accuracy", gaps=True), *_bounds(), _N,
        ),
        ("function", "layer", "head"),
    ),
    "pairs": Table(
        "The effect of removing two heads beyond the effects of removing each alone.",
        (
            _FUNCTION,
            Column("head_a", "text", "one head", gaps=True),
            Column("head_b", "text", "the other head", gaps=True),
            _drop("drop_a", "mean fall of the gold answer's log-probability without `head_a`"),
            _drop("drop_b", "the same without `head_b`"),
            _drop("drop_both", "the same without both"),
            _drop("interaction", "`drop_both` - `drop_a` - `drop_b`; above 0: the heads stand in for each other"),
            *_bounds("nats"),
            Column("accuracy_drop", "change", "fall of accuracy without both", gaps=True),
            _N, _SCORER, _REASON,
        ),
    ),
    "cumulative": Table(
        "Accuracy and log-probability as a ranking is removed head by head, beside random orders.",
        (
            _SCORER, _FUNCTION,
            Column("order", "text", "`ranking`, or `random`: the mean of several random orders", values=("ranking", "random")),
            Column("k", "count", "heads removed", "heads"),
            Column("head", "text", "the head removed last", gaps=True),
            Column("accuracy", "share", "accuracy without the first `k` heads", gaps=True),
            Column("low", "share", "lower bound of the 95 % interval; of random orders their 2.5 % quantile", gaps=True),
            Column("high", "share", "upper bound of the 95 % interval; of random orders their 97.5 % quantile", gaps=True),
            _drop("drop", "mean fall of the gold answer's log-probability"),
            Column("unparsable", "share", "share of answers that cannot be parsed", gaps=True),
            _N,
        ),
        ("scorer", "function", "order", "k"),
    ),
    "greedy": Table(
        "A minimal set found head by head on split S; then its effect on split E, and that of as many random heads.",
        (
            _FUNCTION,
            Column("round", "count", "number of the move, from 1", gaps=True),
            Column("move", "text", "`add`, `put back`, `chosen set, split E`, or `random sets, split E`", gaps=True),
            Column("head", "text", "the head of the move, the chosen set, or how random sets were drawn", gaps=True),
            Column("k", "count", "heads in the set after the move", "heads", gaps=True),
            _drop("drop", "mean fall of the gold answer's log-probability without the set"),
            Column("share", "number", "`drop` as a share of the fall without all candidates", gaps=True),
            Column("accuracy", "share", "accuracy without the set", gaps=True),
            _N,
            Column("accuracy_drop", "change", "fall of accuracy on split E", gaps=True),
            *_bounds(),
            Column("p", "p", "of `chosen set`: (1 + random sets that cost as much) / (1 + random sets)", gaps=True),
            Column("unparsable", "share", "share of answers on split E that cannot be parsed", gaps=True),
            _SCORER, _REASON,
        ),
    ),
}  # fmt: skip
"""The tables in `RUN/sweep/`, by name; the file is `<name>.csv`."""
