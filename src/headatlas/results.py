"""Every results table of a study once: its file, columns, units and meaning; writers validate, readers load through this.

`python -m headatlas.results > docs/results.md` writes the reference page. A table of another package is added with
`RESULTS.add("name", Table(...))`, in the module that registers the stage which writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry, near

Kind = Literal["text", "flag", "count", "number", "share", "change", "p"]
"""What a column holds: `text`; `flag` (True or False); `count` (a whole number >= 0); `number` (any finite number);
`share` (0..1); `change` (a difference of shares, -1..1); `p` (a probability, 0..1)."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "count": (0, np.inf),
    "number": (-np.inf, np.inf),
    "share": (0, 1),
    "change": (-1, 1),
    "p": (0, 1),
}
_SLACK = 1e-9  # sums of shares may leave their range by rounding

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable here")
"""The verdicts of `claims.json`."""


@dataclass(frozen=True)
class Column:
    """A column of a results table.

    Attributes:
        name: as in the file's header.
        kind: what it holds, see `Kind`.
        meaning: what a value says, in a few words.
        unit: of a number, such as "heads" or "nats"; shares, changes and probabilities need none.
        gaps: whether a cell may be empty (no such number, or nothing to test).
        values: the only texts allowed; empty for any text.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    gaps: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A results table: one sentence on what it holds, and its columns in order.

    `key` names the columns that identify a row: two rows with the same key are an error.
    """

    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def texts(self) -> frozenset[str]:
        """The names of the columns that hold text."""
        return frozenset(column.name for column in self.columns if column.kind == "text")

    def empty(self) -> pd.DataFrame:
        """The table without rows, its columns typed."""
        return pd.DataFrame({c.name: pd.Series(dtype=_dtype(c)) for c in self.columns})

    def check(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """A copy of `table` with the columns in order and typed; `name` is what messages call it.

        A frame without columns and rows is the empty table.

        Raises:
            HeadAtlasError: an unknown or missing column, a cell of the wrong kind or out of range, or a repeated key.
        """
        if not len(table) and not len(table.columns):
            return self.empty()
        for column in table.columns:
            if column not in self.names:
                raise HeadAtlasError(
                    f"table {name!r} must have the columns {', '.join(self.names)}; got the unknown column {column!r}"
                    f"{near(str(column), self.names)}"
                )
        missing = [column for column in self.names if column not in table]
        if missing:
            raise HeadAtlasError(
                f"table {name!r} must have the columns {', '.join(self.names)}; {', '.join(missing)} is missing"
            )
        table = table.reset_index(drop=True)
        typed = pd.DataFrame({c.name: _typed(name, c, table[c.name]) for c in self.columns})
        repeated = typed.duplicated(list(self.key)) if self.key else None
        if repeated is not None and repeated.any():
            first = typed.loc[repeated, list(self.key)].iloc[0].to_dict()
            raise HeadAtlasError(
                f"table {name!r} must have one row for each {', '.join(self.key)}; got two for {first}"
            )
        return typed


RESULTS: Registry[Table] = Registry("results table")
"""The tables in `RUN/results/`, by name; the file is `<name>.csv`."""


def validate(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A copy of `table`, checked and typed as the results table `name`; raises `HeadAtlasError` as `Table.check`."""
    return RESULTS[name].check(name, table)


def load(folder: str | Path, name: str) -> pd.DataFrame:
    """The results table `name` from `<folder>/<name>.csv`, typed; the empty table where the file is missing or empty.

    Raises:
        HeadAtlasError: no such results table, or a file that is not a CSV table of its kind.
    """
    return read_csv(Path(folder) / f"{name}.csv", RESULTS[name])


def read_csv(file: Path, described: Table) -> pd.DataFrame:
    """A table from a CSV file, typed as `described`; empty where the file is missing or empty."""
    if not file.is_file():
        return described.empty()
    try:
        # All cells as text first: pandas would read the selector called "null" as a missing value.
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        return described.empty()
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise HeadAtlasError(f"{file} must be a CSV table ({error}); run the stage that writes it again") from error
    return described.check(file.name, table)


def _dtype(column: Column) -> str:
    return {"text": "object", "flag": "bool", "count": "float64" if column.gaps else "int64"}.get(
        column.kind, "float64"
    )


def _typed(table: str, column: Column, values: pd.Series) -> pd.Series:
    """The values of one column, checked and converted to its dtype."""
    cells = values.astype(object)
    if column.kind == "text":
        return _text(table, column, cells)
    if column.kind == "flag":
        words = {"True": True, "False": False}
        flags = [words.get(str(cell)) for cell in cells]
        _refuse(table, column, cells, [flag is None for flag in flags])
        return pd.Series(flags, index=cells.index, dtype=bool)
    blank = np.array([_is_blank(cell) for cell in cells], dtype=bool)
    numbers = pd.to_numeric(cells.where(~blank, np.nan), errors="coerce").astype("float64")
    low, high = LIMITS[column.kind]
    wrong = ~blank & ~np.isfinite(numbers.to_numpy())
    wrong |= ((numbers < low - _SLACK) | (numbers > high + _SLACK)).to_numpy()
    if column.kind == "count":
        wrong |= ~blank & (numbers != numbers.round()).to_numpy()
    if not column.gaps:
        wrong |= blank
    _refuse(table, column, cells, wrong)
    return numbers.astype(_dtype(column))


def _text(table: str, column: Column, cells: pd.Series) -> pd.Series:
    texts = ["" if _is_blank(cell) else cell for cell in cells]
    _refuse(table, column, cells, [not isinstance(text, str) for text in texts])
    if not column.gaps:
        _refuse(table, column, cells, [text == "" for text in texts])
    if column.values:
        _refuse(table, column, cells, [text not in ("", *column.values) for text in texts])
    return pd.Series(texts, index=cells.index, dtype=object)


def _is_blank(cell: Any) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _refuse(table: str, column: Column, cells: pd.Series, wrong: Sequence[bool] | np.ndarray) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise HeadAtlasError(
            f"column {column.name!r} of table {table!r} must be {_expected(column)}, got {cells.iloc[rows[0]]!r} in row {rows[0]}"
        )


def _expected(column: Column) -> str:
    if column.values:
        words = f"one of {', '.join(column.values)}"
    else:
        words = {
            "text": "text", "flag": "True or False", "count": "a whole number >= 0", "number": "a finite number",
            "share": "in 0..1", "change": "in -1..1", "p": "in 0..1",
        }[column.kind]  # fmt: skip
    return f"{words} or empty" if column.gaps else words


# -- the tables ------------------------------------------------------------------------------------------------------

SCORER = Column("scorer", "text", "name of the scorer")
FUNCTION = Column("function", "text", "cognitive function")
N = Column("n", "count", "steps", "steps")


def _interval(kind: Kind, unit: str = "", prefix: str = "", gaps: bool = True) -> tuple[Column, Column]:
    return (
        Column(f"{prefix}low", kind, "lower bound of the 95 % interval", unit, gaps),
        Column(f"{prefix}high", kind, "upper bound of the 95 % interval", unit, gaps),
    )


def _add(name: str, meaning: str, *columns: Column, key: str = "") -> Table:
    return RESULTS.add(name, Table(meaning, columns, tuple(key.split())))


_add(
    "scorers", "The scorers of the study, in the order of its settings.",
    SCORER,
    Column("title", "text", "name in running text, such as `the linear probe`"),
    Column("label", "text", "name in tables and legends, such as `Linear probe (A2)`"),
    Column("description", "text", "how it scores, in one sentence"),
    Column("unit", "text", "unit of its scores", gaps=True),
    key="scorer",
)  # fmt: skip
_add(
    "scores", "The score of every head for every function, by every scorer.",
    SCORER, FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("value", "number", "score; higher means more important", "the scorer's"),
    Column("p", "p", "one-sided p against the scorer's null, uncorrected; empty without a null", gaps=True),
    key="scorer function layer head",
)  # fmt: skip
_add(
    "selection", "The heads that each selector chooses for each function from each scorer's scores.",
    SCORER, FUNCTION,
    Column("selector", "text", "name of the selector"),
    Column("count", "count", "heads selected", "heads"),
    Column("share", "share", "heads selected as a share of all heads"),
    Column("heads", "text", "the heads, best first, as `L0.H1 L2.H3`", gaps=True),
    Column("reason", "text", "why there are none, where there are none", gaps=True),
    key="scorer function selector",
)  # fmt: skip
_add(
    "sparsity", "How sparse each function's scores are, and how deep its selected heads lie.",
    SCORER, FUNCTION,
    Column("count", "count", "heads selected by the study's selector", "heads"),
    Column("share", "share", "heads selected as a share of all heads"),
    Column("share_above_threshold", "share", "heads whose score is above 0.001, as a share of all heads"),
    Column("gini", "share", "Gini coefficient of the scores (negative scores count as 0)"),
    Column("effective_number", "number", "exp(entropy) of the scores as shares", "heads"),
    Column("centroid", "share", "mean relative depth of the selected heads: 0 first layer, 1 last", gaps=True),
    key="scorer function",
)  # fmt: skip
_add(
    "latent", "Heads from which a function can be decoded and whose removal is shown to change nothing.",
    FUNCTION,
    Column("count", "count", "latent heads", "heads"),
    Column("heads", "text", "the heads, most decodable first, as `L0.H1 L2.H3`", gaps=True),
    Column("reason", "text", "how many heads pass each half of the definition, or why it could not be tested"),
    key="function",
)  # fmt: skip
_add(
    "overlap", "How far the selected heads of two functions are the same.",
    SCORER,
    Column("function_a", "text", "one function"),
    Column("function_b", "text", "the other function"),
    Column("jaccard", "share", "Jaccard index of the two sets; empty if both are empty", gaps=True),
    Column("jaccard_corrected", "number", "the same corrected for chance: 0 as expected at random, 1 equal", gaps=True),
    key="scorer function_a function_b",
)  # fmt: skip
_add(
    "agreement", "How far each scorer orders the heads as exact ablation does.",
    SCORER, FUNCTION,
    Column("spearman", "number", "rank correlation over heads with the scorer `ablation`", "-1..1", gaps=True),
    *_interval("number"),
    Column("top5_overlap", "share", "share of the five best heads that are also among the five best of `ablation`", gaps=True),
    Column("top5_expected", "share", "the same share for random heads"),
    key="scorer function",
)  # fmt: skip
_add(
    "probe", "How well the probes predict a step's function, compared with control labels and with the text alone.",
    SCORER,
    Column("split", "text", "split that is predicted", values=("P", "S", "T", "E")),
    Column("target", "text", "what is predicted, from what", values=("true", "control", "text_only")),
    Column("measure", "text", "accuracy over all functions, or AUC of one", values=("accuracy", "auc")),
    Column("function", "text", "cognitive function; empty for all", gaps=True),
    Column("value", "share", "accuracy or AUC"),
    *_interval("share"),
    N,
    key="scorer split target measure function",
)  # fmt: skip
_add(
    "surface", "What can be told from words alone, fitted on split P and tried on split E.",
    Column("what", "text", "what is predicted", values=("function_of_step", "answer_without_image")),
    Column("group", "text", "function or question type; `all` for all, `macro` for the mean over functions", gaps=True),
    Column("accuracy", "share", "share predicted correctly", gaps=True),
    Column("chance", "share", "accuracy of always saying the most frequent", gaps=True),
    *_interval("share"),
    Column("n", "count", "steps (`function_of_step`) or questions (`answer_without_image`)", "steps or questions"),
)  # fmt: skip
_add(
    "baseline", "Accuracy of the unedited model on split E.",
    Column("context", "text", "earlier steps answered by the dataset or by the model, with or without the image",
           values=("gold", "gold_no_image", "own", "own_no_image")),
    Column("group_kind", "text", "what the group is", values=("function", "family", "final")),
    Column("group", "text", "function, question type, or `final` for all final answers", gaps=True),
    Column("accuracy", "share", "share of right answers", gaps=True),
    *_interval("share"),
    Column("unparsable", "share", "share of answers that cannot be read as an answer", gaps=True),
    N,
    key="context group_kind group",
)  # fmt: skip
_add(
    "metrics", "The Spatial Score and its relatives on split E.",
    Column("condition", "text", "earlier steps answered by the dataset or by the model", values=("gold", "own")),
    Column("metric", "text", "SS, SS_chance_corrected, SS_ground or SS_chain"),
    Column("value", "number", "the score", "0..100; corrected ones may be negative", gaps=True),
    *_interval("number", "as value"),
    N,
    key="condition metric",
)  # fmt: skip
_add(
    "negative", "What a function's steps lose when its heads are ablated, compared with random sets of heads.",
    SCORER, FUNCTION,
    Column("operation", "text", "how heads are ablated", values=("mean", "zero", "scale")),
    Column("k", "count", "heads ablated", "heads"),
    Column("heads", "text", "the heads, as `L0.H1 L2.H3`", gaps=True),
    Column("before", "share", "accuracy of the unedited model", gaps=True),
    Column("after", "share", "accuracy without the heads", gaps=True),
    Column("drop", "change", "before minus after", gaps=True),
    *_interval("change"),
    Column("matched_drop", "change", "the drop on the questions that the random sets were run on", gaps=True),
    Column("random_drop", "change", "mean drop of the random sets", gaps=True),
    Column("random_low", "change", "2.5 % quantile of the random sets' drops", gaps=True),
    Column("random_high", "change", "97.5 % quantile of the random sets' drops", gaps=True),
    Column("n_random", "count", "random sets", "sets"),
    Column("p", "p", "share of the random sets whose drop is at least `matched_drop`: (1 + #) / (n_random + 1)", gaps=True),
    Column("p_mcnemar", "p", "exact two-sided McNemar test of before against after", gaps=True),
    Column("q", "p", "p adjusted over the rows of this table (Benjamini-Hochberg)", gaps=True),
    Column("unparsable_before", "share", "share of unreadable answers of the unedited model", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers without the heads", gaps=True),
    N,
    key="scorer function operation",
)  # fmt: skip
_add(
    "damage", "What every function's steps lose when each function's heads are ablated.",
    SCORER,
    Column("heads_of", "text", "function whose heads are ablated"),
    Column("steps_of", "text", "function whose steps are looked at"),
    Column("k", "count", "heads ablated", "heads"),
    Column("drop", "change", "fall of accuracy", gaps=True),
    *_interval("change"),
    N,
    key="scorer heads_of steps_of",
)  # fmt: skip
_add(
    "dose", "Accuracy as more and more heads are ablated.",
    SCORER, FUNCTION,
    Column("k", "count", "heads ablated", "heads"),
    Column("set", "text", "the best by score, random ones, or the least", values=("selected", "random", "least")),
    Column("accuracy", "share", "accuracy on the function's steps", gaps=True),
    *_interval("share"),
    Column("unparsable", "share", "share of unreadable answers", gaps=True),
    N,
    key="scorer function k set",
)  # fmt: skip
_add(
    "positive", "What steering a function's heads gains, compared with controls.",
    SCORER, FUNCTION,
    Column("alpha", "number", "strength", "standard deviations along the direction"),
    Column("arm", "text", "steering or a control",
           values=("steer", "flipped", "random_direction", "shuffled", "random_heads")),
    Column("before", "share", "accuracy of the unedited model", gaps=True),
    Column("after", "share", "accuracy with the edit; mean over draws for controls", gaps=True),
    Column("gain", "change", "after minus before", gaps=True),
    Column("low", "change", "lower bound: of the 95 % interval, or the 2.5 % quantile of a control's draws", gaps=True),
    Column("high", "change", "upper bound: of the 95 % interval, or the 97.5 % quantile of a control's draws", gaps=True),
    Column("matched_gain", "change", "gain of `steer` on the questions of this row", gaps=True),
    Column("p", "p", "exact McNemar test for `steer` and `flipped`; for a control the share of draws that gain at least "
           "`matched_gain`, (1 + #) / (draws + 1)", gaps=True),
    Column("q", "p", "p adjusted over the rows of this table (Benjamini-Hochberg)", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers with the edit", gaps=True),
    Column("n_draws", "count", "draws that a control's row is the mean of; 1 for `steer` and `flipped`", "draws"),
    N,
    Column("off_task_gain", "change", "change on the steps of other, non-spatial functions", gaps=True),
    key="scorer function arm",
)  # fmt: skip
_add(
    "steering", "What the steering directions were estimated from, or why there are none.",
    SCORER, FUNCTION,
    Column("n_correct", "count", "right steps of split P", "steps"),
    Column("n_incorrect", "count", "wrong steps of split P", "steps"),
    Column("k", "count", "heads to steer", "heads"),
    Column("reason", "text", "why nothing was steered; empty if it was", gaps=True),
    key="scorer function",
)  # fmt: skip
_add(
    "tuning", "The strengths that were tried on split T.",
    Column("what", "text", "what is tuned, such as `alpha`"),
    SCORER, FUNCTION,
    Column("value", "number", "the strength"),
    Column("accuracy", "share", "accuracy on split T", gaps=True),
    Column("chosen", "flag", "whether it was taken"),
    key="what scorer function value",
)  # fmt: skip
_add(
    "counts", "How many heads the functions have, how these numbers differ and how far the sets overlap: what C1 to C3 read.",
    SCORER,
    Column("what", "text", "`share` of all heads that the selector chose for a function; `spread`: largest minus smallest "
           "number of selected heads; `overlap`: mean chance-corrected Jaccard of two functions' selected heads; "
           "`spatial_minus_other`: mean number of heads of spatial functions minus that of the others, at equal numbers of steps",
           values=("share", "spread", "overlap", "spatial_minus_other")),
    Column("function", "text", "cognitive function of a `share`; empty for what is over all functions", gaps=True),
    Column("value", "number", "what was counted", "share: 0..1; spread, spatial_minus_other: heads; overlap: up to 1", gaps=True),
    *_interval("number", "as value"),
    Column("p", "p", "one-sided: that overlap is 1/2 or more, that spatial functions do not have fewer heads", gaps=True),
    Column("n", "count", "pairs of a step and a function it needs", "pairs"),
    key="scorer what function",
)  # fmt: skip
_add(
    "fewest", "Numbers of heads of spatial functions minus those of others, at equal numbers of steps.",
    SCORER,
    Column("spatial", "text", "spatial function, or `both` for the mean of the two"),
    Column("other", "text", "other function; empty for the mean of the others", gaps=True),
    Column("difference", "number", "mean difference over resamples; below 0 the spatial function has fewer", "heads"),
    *_interval("number", "heads"),
    Column("p", "p", "one-sided p that the spatial function does not have fewer", gaps=True),
    Column("n", "count", "steps of each function in a resample", "steps"),
    key="scorer spatial other",
)  # fmt: skip
_add(
    "activation", "What each way of showing the image gains.",
    Column("arm", "text", "way of showing the image; `original` is the comparison"),
    Column("group", "text", "function, `spatial` (both spatial functions) or `final` (final answers)"),
    Column("accuracy", "share", "accuracy with this arm"),
    Column("gain", "change", "accuracy minus that of `original`"),
    *_interval("change"),
    Column("p", "p", "exact two-sided McNemar test against `original`", gaps=True),
    Column("control", "text", "the arm's control, whose images are changed as much; empty if it has none", gaps=True),
    Column("beyond", "change", "accuracy minus that of the control, step by step", gaps=True),
    Column("beyond_low", "change", "lower bound of the 95 % interval of `beyond`", gaps=True),
    Column("beyond_high", "change", "upper bound of the 95 % interval of `beyond`", gaps=True),
    Column("beyond_p", "p", "exact two-sided McNemar test against the control", gaps=True),
    Column("unparsable", "share", "share of unreadable answers"),
    N,
    key="arm group",
)  # fmt: skip


def markdown() -> str:
    """The reference page of all results tables."""
    lines = [
        "# Results tables",
        "",
        "<!-- Written by `python -m headatlas.results > docs/results.md`. Edit src/headatlas/results.py instead. -->",
        "",
        "A study writes these tables to `RUN/results/`, one CSV file each. The claims and the report read nothing else.",
        "A file is checked when it is written: unknown or missing columns, cells of the wrong kind or out of range, and",
        "repeated rows are errors.",
        "",
        "`share` and `p` are in 0..1, `change` is a difference of shares in -1..1, `count` is a whole number. `low` and `high`",
        "bound a 95 % interval. A column marked *may be empty* has no value where there is nothing to measure or to test.",
    ]
    for name, table in RESULTS.items():
        lines += ["", f"## `{name}.csv`", "", table.meaning]
        if table.key:
            lines += ["", f"One row for each {', '.join(f'`{column}`' for column in table.key)}."]
        lines += ["", "| column | kind | unit | meaning |", "|---|---|---|---|"]
        for column in table.columns:
            kind = column.kind + (", may be empty" if column.gaps else "")
            allowed = f" ({', '.join(f'`{value}`' for value in column.values)})" if column.values else ""
            lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.meaning}{allowed} |")
    lines += [
        "",
        "## Other files",
        "",
        "`results/examples.json` is a list of `{question, image, text, answer, edit, steps: [{text, function, gold, before,",
        "after, correct_before, correct_after}]}`; `image` is a path relative to the run directory.",
        "",
        "`claims.json` is `{claims: [{id, title, statement, scorer, verdict, effect, unit, low, high, p, n, control, sentence}],",
        f"level}}`. `verdict` is one of {', '.join(f'*{verdict}*' for verdict in VERDICTS)}; `level` is the level of every test.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
