"""Read answers from a CSV file and judge them row by row; a row that cannot be judged says why.

Columns are `text` (the answer as given) and `gold`; and, where they are known, `question` (what was asked, or a question's id
together with `step`), `answer_type`, `options` (joined by "|"; a bar inside an option is written "\\|") and `human`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from headatlas.annotate.judge.ask import VERDICTS, Case, judge_one, parser_verdict
from headatlas.annotate.llm import LLM, CallFailed, Endpoint, ReplyCache, Unusable, Usage, each, run, stoppable
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress

_HUMAN = {
    **dict.fromkeys(("correct", "right", "true", "yes", "1", "1.0"), "correct"),
    **dict.fromkeys(("incorrect", "wrong", "false", "no", "0", "0.0"), "incorrect"),
    **dict.fromkeys(("unparsable", "unparseable", "none", "invalid"), "unparsable"),
    "": "",
}
_BAR = re.compile(r"(?<!\\)\|")
_TYPES = ("yes_no", "choice", "number", "text")


def read_answers(path: str | Path, data: CogVSR | None = None) -> pd.DataFrame:
    """Read a CSV file of answers; every cell is text ("None", "NaN" and "1.0" are answers).

    Args:
        path: a CSV in UTF-8 with at least the columns `text` and `gold`.
        data: the dataset from which words, options and answer types are taken; `question` is then an id, and `step` counts
            from 0.

    Returns:
        The columns of the file, and `asked`, `answer_type`, `options` and `human` (one of `VERDICTS` or "").

    Raises:
        HeadAtlasError: the file cannot be read, a column is missing, or a label is unknown; the message gives the row.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise HeadAtlasError(f"{path}: not a readable CSV file (it is not a regular file)")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise HeadAtlasError(f"{path}: not a readable CSV file ({reason})") from error
    missing = [name for name in ("text", "gold") if name not in table]
    if missing:
        raise HeadAtlasError(
            f"{path}: no column {' and no column '.join(missing)}; it has {', '.join(map(str, table.columns))[:300]}"
        )
    if table.empty:
        raise HeadAtlasError(f"{path}: no answers; there must be at least one line below the header")
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
    """Judge every answer of a table.

    Args:
        table: from `read_answers`.
        endpoint: the judge; None for the parser only.
        cache: SQLite file of replies; None stores none.
        only_unparsable: ask the judge only about answers that the parser cannot read.
        round: with another number, the judge is asked again instead of the cache.
        progress: see `headatlas.progress`.
        pause: as `LLM`.

    Returns:
        The table with the columns `parser`, `judge` (verdicts; "" if the judge was not asked or failed) and `why`, and the
        calls and tokens of this run.

    Raises:
        EndpointDown: the judge cannot be asked. Replies so far are in the cache.
        HeadAtlasError: the cache cannot be used.
        Stopped: Ctrl-C or SIGTERM; the message says how to continue.
    """
    rows = cases(table)
    parsed = [parser_verdict(case) for case in rows]
    verdicts, reasons, usage = [""] * len(rows), [""] * len(rows), Usage()
    if endpoint is not None:
        asked = [i for i, verdict in enumerate(parsed) if verdict == "unparsable" or not only_unparsable]

        async def every() -> Usage:
            async with LLM(endpoint, replies, pause) as llm:
                done = 0

                async def one(i: int) -> None:
                    nonlocal done
                    try:
                        verdict = (await judge_one(llm, rows[i], round=round)).value
                        verdicts[i], reasons[i] = verdict.verdict, verdict.why
                    except (CallFailed, Unusable) as error:
                        reasons[i] = f"not judged: {error}"
                    done += 1
                    if progress:
                        progress("judging", done, len(asked))

                await each(asked, one, 2 * endpoint.concurrency)
                return llm.usage

        where = f"; all replies so far are in {cache}: run the same command again to go on" if cache is not None else ""
        with ReplyCache(cache if cache is not None else ":memory:") as replies, stoppable(f"stopped{where}"):
            usage = run(every)
    return table.assign(parser=parsed, judge=verdicts, why=reasons), usage


def _refuse(path: str | Path, column: pd.Series, known: set[str], name: str, expected: str) -> None:
    for i, value in enumerate(column):
        if value not in known:
            got = "nothing" if name == "gold" else f"{value!r:.60}"
            raise HeadAtlasError(f"{path}, answer {i + 1}, {name}: must be {expected}, got {got}")


def _look_up(table: pd.DataFrame, data: CogVSR, path: str | Path) -> None:
    """Fill in the words, options and answer types of the steps that the rows name."""
    if "step" not in table:
        raise HeadAtlasError(
            f"{path}: no column step; with a dataset, the columns question (id) and step (from 0) name an answer"
        )
    steps = {(q.id, str(i)): (q, s) for q in data.without_images() for i, s in enumerate(q.steps)}
    asked, kinds, options = [], [], []
    for i, (name, step) in enumerate(zip(table["question"], table["step"], strict=True)):
        if (name, step) not in steps:
            raise HeadAtlasError(f"{path}, answer {i + 1}: {data.name} has no step {step!r} of a question {name!r:.60}")
        question, named = steps[(name, step)]
        asked.append(f"{question.text}\n{named.text}")
        kinds.append(named.answer_type)
        options.append("|".join(option.replace("|", r"\|") for option in named.options))
    table["asked"], table["answer_type"], table["options"] = asked, kinds, options
