"""The results tables of single ablation in several towers."""

from __future__ import annotations

from headatlas.results.columns import FUNCTION, N, add, interval
from headatlas.results.table import Column

TOWER = Column(
    "tower", "text", "L language model, V vision tower, X cross-attention, C connector", values=("L", "V", "X", "C")
)

add(
    "towers", "What each function's steps of split S lose when one head of a tower alone is ablated. Empty where only tower L "
    "was studied.",
    TOWER, FUNCTION,
    Column("layer", "count", "layer of the head within its tower, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("loss", "number", "fall of the gold answer's log-probability", "nats"),
    *interval("number", "nats"),
    Column("specific", "number", "the loss less that of other functions' steps of the same scenes", "nats"),
    Column("p", "p", "one-sided p of `specific` against sign flips of scenes", gaps=True),
    Column("selected", "flag", "whether the study's selector chooses the head by `specific`"),
    N,
    key="tower function layer head",
)  # fmt: skip
add(
    "tower_sets", "What the heads selected in a tower cost together on split E, beside random sets of the same tower.",
    TOWER, FUNCTION,
    Column("k", "count", "heads ablated: those selected, or the best of them", "heads"),
    Column("heads", "text", "the heads, as `V0.H1 V2.H3`", gaps=True),
    Column("drop", "change", "fall of accuracy on the function's steps", gaps=True),
    *interval("change"),
    Column("random_drop", "change", "mean drop of the random sets", gaps=True),
    Column("beyond", "change", "`drop` less `random_drop`", gaps=True),
    *interval("change", prefix="beyond_"),
    Column("n_random", "count", "random sets", "sets"),
    Column("match", "text", "where the heads of the random sets were drawn from", gaps=True),
    Column("p", "p", "(1 + random sets that cost at least as much) / (n_random + 1)", gaps=True),
    Column("specific", "change", "the drop less the mean drop in the steps of the other, non-spatial functions", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers without the heads", gaps=True),
    N,
    key="tower function",
)  # fmt: skip
