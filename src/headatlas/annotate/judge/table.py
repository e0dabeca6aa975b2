"""Tables of answers: read from CSV, judged row by row, with nothing lost where the judge fails.

Knows pandas and what people write into CSV files; `ask.py` knows what a verdict is. Columns: `text` (what was said) and `gold`;
and where known `question` (what was asked, or a question's id together with `step`), `answer_type`, `options` (joined
by "|"; a bar inside one is written "\\|"), `human`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from headatlas.annotate.judge.ask import VERDICTS, Case, judge_one, parser_verdict
from headatlas.annotate.llm import LLM, CallFailed, Endpoint, ReplyCache, Unusable, Usage, each, run
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError

Progress = Callable[[str, int, int], None]

_HUMAN = {
    **dict.fromkeys(("correct", "right", "true", "yes", "1", "1.0"), "correct"),
    **dict.fromkeys(("incorrect", "wrong", "false", "no", "0", "0.0"), "incorrect"),
    **dict.fromkeys(("unparsable", "unparseable", "none", "invalid"), "unparsable"),
    "": "",
}
_BAR = re.compile(r"(?<!\\)\|")
_TYPES = ("yes_no", "choice", "number", "text")


def read_answers(path: str | Path, data: CogVSR | None = None) -> pd.DataFrame:
    """Read a CSV of answers; every cell stays the text that it is ("None", "NaN" and "1.0" are answers).

    Args:
        path: A CSV in UTF-8 with at least the columns `text` and `gold`.
        data: Where `question` is an id and `step` counts from 0: the dataset that knows the words, options and answer types.

    Returns:
        The file's columns, with `asked`, `answer_type`, `options` and `human` (one of `VERDICTS` or "") added or made whole.

    Raises:
        HeadAtlasError: A file that cannot be read, a column that lacks, a label that is none, with the answer's number.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise HeadAtlasError(f"{path}: not a readable CSV file ({reason})") from error
    missing = [name for name in ("text", "gold") if name not in table]
    if missing:
        raise HeadAtlasError(f"{path}: no column {' and no column '.join(missing)}; it has {', '.join(table.columns)}")
    if table.empty:
        raise HeadAtlasError(f"{path}: no answers; expected at least one line below the header")
    for name in ("question", "answer_type", "options", "human"):
        if name not in table:
            table[name] = ""
    table["asked"] = table["question"]
    if data is not None:
        _look_up(table, data, path)
    table["answer_type"] = table["answer_type"].mask(table["answer_type"] == "", "text")
    _refuse(path, table["answer_type"], set(_TYPES), "answer_type", ", ".join(_TYPES))
    labels = table["human"].str.strip().str.lower()
    _refuse(path, labels, set(_HUMAN), "human", f"{', '.join(VERDICTS)} (or true, false, 1, 0), or nothing")
    _refuse(path, table["gold"].str.strip().ne("").astype(str), {"True"}, "gold", "an answer")
    table["human"] = labels.map(_HUMAN)
    return table


def cases(table: pd.DataFrame) -> list[Case]:
    """The rows of a table from `read_answers`."""
    columns = (table[name].tolist() for name in ("gold", "text", "asked", "answer_type", "options"))
    return [
        Case(gold, text, asked, kind, tuple(o.replace(r"\|", "|") for o in _BAR.split(options) if o))
        for gold, text, asked, kind, options in zip(*columns, strict=True)
    ]


def judge_answers(
    table: pd.DataFrame,
    endpoint: Endpoint | None,
    cache: Path | None = None,
    only_unparsable: bool = False,
    round: int = 0,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> tuple[pd.DataFrame, Usage]:
    """The table with columns `parser`, `judge` (verdicts; "" where the judge was not asked or failed) and `why`.

    Args:
        table: From `read_answers`.
        endpoint: The judge; None: only the parser.
        cache: SQLite file of replies.
        only_unparsable: Ask only about what the parser cannot read: "parse first, judge second".
        round: A new number asks anew what is in the cache.
        progress: Called as `progress(what, done, total)`.
        pause: As `LLM`.

    Raises:
        EndpointDown: The judge cannot be asked at all. Verdicts so far are in the cache.
    """
    rows = cases(table)
    parsed = [parser_verdict(case) for case in rows]
    verdicts, reasons, usage = [""] * len(rows), [""] * len(rows), Usage()
    if endpoint is not None:
        asked = [i for i, verdict in enumerate(parsed) if verdict == "unparsable" or not only_unparsable]

        async def every() -> Usage:
            async with LLM(endpoint, kept, pause) as llm:
                done = 0

                async def one(i: int) -> None:
                    nonlocal done
                    try:
                        found = (await judge_one(llm, rows[i], round=round)).value
                        verdicts[i], reasons[i] = found.verdict, found.why
                    except (CallFailed, Unusable) as error:
                        reasons[i] = f"not judged: {error}"
                    done += 1
                    if progress:
                        progress("judging", done, len(asked))

                await each(asked, one, 2 * endpoint.concurrency)
                return llm.usage

        with ReplyCache(cache if cache is not None else ":memory:") as kept:
            usage = run(every)
    return table.assign(parser=parsed, judge=verdicts, why=reasons), usage


def _refuse(path: str | Path, column: pd.Series, known: set[str], name: str, expected: str) -> None:
    for i, value in enumerate(column):
        if value not in known:
            came = "nothing" if name == "gold" else f"{value!r:.60}"
            raise HeadAtlasError(f"{path}, answer {i + 1}, {name}: expected {expected}, came {came}")


def _look_up(table: pd.DataFrame, data: CogVSR, path: str | Path) -> None:
    """Fill in words, options and types of the steps that the rows name."""
    if "step" not in table:
        raise HeadAtlasError(f"{path}: no column step; with a dataset, question (id) and step (from 0) name an answer")
    steps = {(q.id, str(i)): (q, s) for q in data.without_images() for i, s in enumerate(q.steps)}
    asked, kinds, options = [], [], []
    for i, (name, step) in enumerate(zip(table["question"], table["step"], strict=True)):
        if (name, step) not in steps:
            raise HeadAtlasError(f"{path}, answer {i + 1}: {data.name} has no step {step!r} of a question {name!r:.60}")
        question, found = steps[(name, step)]
        asked.append(f"{question.text}\n{found.text}")
        kinds.append(found.answer_type)
        options.append("|".join(option.replace("|", r"\|") for option in found.options))
    table["asked"], table["answer_type"], table["options"] = asked, kinds, options
