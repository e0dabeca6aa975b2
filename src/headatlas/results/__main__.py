"""`python -m headatlas.results > docs/results.md` writes the reference page of the results tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headatlas.results import RESULTS, VERDICTS, Table
from headatlas.results.comparison import comparison_tables
from headatlas.results.sweeps import SWEEP_TABLES


def markdown() -> str:
    """The reference page of all results tables."""
    lines = [
        "# Results tables",
        "",
        "<!-- Written by `python -m headatlas.results > docs/results.md`. Edit src/headatlas/results/ instead. -->",
        "",
        "A study writes these tables to `RUN/results/`, one CSV file each. The claims and the report read nothing else.",
        "A file is checked when it is written: unknown or missing columns, cells of the wrong kind or out of range, and",
        "repeated rows are errors.",
        "",
        "`share` and `p` are in 0..1, `change` is a difference of shares in -1..1, `count` is a whole number. `low` and `high`",
        "bound a 95 % interval. A column marked *may be empty* has no value where there is nothing to measure or to test.",
    ]
    lines += _described(RESULTS, "##")
    lines += [
        "",
        "## Sweeps",
        "",
        "`headatlas sweep NAME` writes one of these tables to `RUN/sweep/`, and `NAME.json` with its settings.",
    ]
    lines += _described(SWEEP_TABLES, "###")
    lines += ["", "## Comparisons", "", "`headatlas compare` writes these tables to `OUT/comparison/`."]
    lines += _described(comparison_tables(), "###")
    lines += [
        "",
        "## Other files",
        "",
        "`results/examples.json` is a list of `{question, image, text, answer, scorer, heads_of, heads, random_heads, edit,",
        "selected, n_questions, n_only_spatial, n_random_changed, steps: [{text, function, gold, before, after, random,",
        "correct_before, correct_after, correct_random}]}`. `image` is a path relative to the run directory. `heads` are those",
        "of the function `heads_of` by `scorer`; `random_heads` are as many others, edited in the same way. `selected`: only",
        "spatial steps break, and none with the random heads; this is so in `n_only_spatial` of the `n_questions` of split E,",
        "and `n_random_changed` of them lose a right step with the random heads.",
        "",
        "`claims.json` is `{claims: [{id, title, statement, scorer, verdict, effect, unit, low, high, p, q, n, control,",
        "sentence, parts: [{text, verdict, function, effect, low, high, p, n, bound}]}], level}`. `verdict` is one of",
        f"{', '.join(f'*{verdict}*' for verdict in VERDICTS)}; `level` is the level of every test.",
    ]
    return "\n".join(lines) + "\n"


def _described(tables: Mapping[str, Table], heading: str) -> Iterator[str]:
    for name, table in tables.items():
        yield from ("", f"{heading} `{name}.csv`", "", table.meaning)
        if table.key:
            yield from ("", f"One row for each {', '.join(f'`{column}`' for column in table.key)}.")
        yield from ("", "| column | kind | unit | meaning |", "|---|---|---|---|")
        for column in table.columns:
            kind = column.kind + (", may be empty" if column.gaps else "")
            allowed = f" ({', '.join(f'`{value}`' for value in column.values)})" if column.values else ""
            yield f"| `{column.name}` | {kind} | {column.unit} | {column.meaning}{allowed} |"


if __name__ == "__main__":
    print(markdown(), end="")
