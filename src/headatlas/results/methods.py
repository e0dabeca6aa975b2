"""The results tables of activation methods."""

from __future__ import annotations

from headatlas.results.columns import N, add, interval
from headatlas.results.table import Column

add(
    "methods", "What each activation method does to the spatial score on split E, and whether it helps.",
    Column("method", "text", "name of the method"),
    Column("before", "number", "spatial score of the unchanged model", "0..100", gaps=True),
    Column("after", "number", "spatial score with the method", "0..100", gaps=True),
    Column("gain", "number", "after minus before", "points", gaps=True),
    *interval("number", "points"),
    Column("p", "p", "McNemar test of spatial steps, clustered by scene", gaps=True),
    Column("q", "p", "the same adjusted over the methods (Benjamini-Hochberg)", gaps=True),
    Column("own_gain", "number", "gain after the model's own earlier answers", "points", gaps=True),
    *interval("number", "points", "own_"),
    Column("final_gain", "number", "gain of final answers after the model's own earlier answers", "points", gaps=True),
    *interval("number", "points", "final_"),
    Column("off_task_gain", "number", "change on all steps that are not spatial", "points", gaps=True),
    *interval("number", "points", "off_task_"),
    Column("unparsable_before", "share", "share of unreadable answers of the unchanged model"),
    Column("unparsable_after", "share", "share of unreadable answers with the method"),
    Column("n", "count", "spatial steps", "steps"),
    Column("n_heads", "count", "heads it acts on", "heads"),
    Column("heads", "text", "these heads, if they are at most 64", gaps=True),
    Column("parameters", "count", "numbers that were fitted or tuned"),
    Column("images", "number", "images shown, as a multiple of the original"),
    Column("time", "number", "time to answer, as a multiple of the unchanged model's"),
    Column("memory", "number", "additional peak memory of a CUDA device", "MB", gaps=True),
    Column("helps", "flag", "whether interval, corrected test and all required controls say so"),
    Column("reason", "text", "why it does not help; empty if it does", gaps=True),
    key="method",
)  # fmt: skip
add(
    "method_gains", "What each activation method gains on split E, group by group.",
    Column("method", "text", "name of the method"),
    Column("context", "text", "earlier steps answered by the dataset or by the model", values=("gold", "own")),
    Column("group", "text", "`spatial` (mean of both spatial functions), a function, `final`, `off_task`, or `type:` and a "
           "question type"),
    Column("before", "share", "accuracy of the unchanged model"),
    Column("after", "share", "accuracy with the method"),
    Column("gain", "change", "after minus before"),
    *interval("change"),
    Column("p", "p", "McNemar test clustered by scene"),
    Column("unparsable_before", "share", "share of unreadable answers of the unchanged model"),
    Column("unparsable_after", "share", "share of unreadable answers with the method"),
    N,
    key="method context group",
)  # fmt: skip
add(
    "method_controls", "What each activation method gains beyond its own controls, on the spatial steps of split E.",
    Column("method", "text", "name of the method"),
    Column("control", "text", "what the method was made into",
           values=("random_heads", "all_heads", "shuffled", "random_directions", "random_boxes", "image_twice")),
    Column("draws", "count", "fits of the control, whose answers are averaged", "fits"),
    Column("gain", "change", "the control's own gain in spatial score"),
    Column("beyond", "change", "the method's spatial score minus the control's, step by step"),
    *interval("change"),
    Column("p", "p", "bootstrap p of `beyond`, two-sided", gaps=True),
    Column("q", "p", "the same adjusted over all required controls of all methods (Benjamini-Hochberg)", gaps=True),
    Column("required", "flag", "whether a method must beat it to help; `all_heads` is reported beside"),
    Column("beaten", "flag", "whether the method gains more, at the corrected level"),
    key="method control",
)  # fmt: skip
add(
    "method_strengths", "The strengths of activation methods that were tried on split T.",
    Column("method", "text", "name of the method"),
    Column("value", "number", "the strength; 0 is the unchanged model"),
    Column("accuracy", "share", "mean of both spatial functions' accuracies", gaps=True),
    Column("logprob", "number", "mean log-probability of the gold answers of spatial steps", "nats", gaps=True),
    Column("off_task", "share", "accuracy on all other steps", gaps=True),
    Column("unparsable", "share", "share of unreadable answers"),
    Column("chosen", "flag", "whether it was taken"),
    key="method value",
)  # fmt: skip
