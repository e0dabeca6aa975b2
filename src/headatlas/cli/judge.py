"""`headatlas data judge`: answers in a CSV, judged by the parser and by a model, and how far they agree. Thin."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import endpoint as options
from headatlas.cli.progress import Bars
from headatlas.errors import HeadAtlasError

if typing.TYPE_CHECKING:
    from headatlas.annotate.judge import Agreement


def add_judge_commands(app: typer.Typer) -> None:
    """Add `judge` to the `data` command line."""
    app.command("judge")(judge)


def judge(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            help="Columns text (what was said) and gold; if known question, answer_type, options (joined by |), human "
            "(correct, incorrect or unparsable).",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV with the verdicts; default CSV.judged.csv.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The judge; without one only the parser reads.")] = None,
    base_url: options.BaseUrl = options.DEFAULT_URL,
    key_env: options.KeyEnv = "OPENAI_API_KEY",
    data: Annotated[
        str | None, typer.Option(help="Dataset in which the columns question (id) and step (from 0) name the steps.")
    ] = None,
    only_unparsable: Annotated[
        bool, typer.Option("--only-unparsable", help="Ask the judge only about what the parser cannot read.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="SQLite file of replies; default OUT.replies.sqlite.")] = None,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 8192,
    timeout: options.Timeout = 180.0,
    tries: options.Tries = 6,
    concurrency: options.Concurrency = 8,
    price_in: options.PriceIn = None,
    price_out: options.PriceOut = None,
    round: options.Round = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")] = False,
) -> None:
    """Judge answers, and report how far judge, parser and human labels agree (share and Cohen's kappa).

    Example: headatlas data judge answers.csv --model gpt-5-mini --out judged.csv
    """
    from headatlas.annotate.judge import agreement, judge_answers, read_answers
    from headatlas.annotate.llm import Endpoint
    from headatlas.cogvsr import load

    endpoint = None
    if model is not None:
        known = options.prices(price_in, price_out)
        endpoint = Endpoint(model, base_url, key_env, temperature, max_tokens, timeout, tries, concurrency, known)
    out = out or answers.with_name(f"{answers.stem}.judged.csv")
    if out.resolve() == answers.resolve():
        raise HeadAtlasError(f"{out}: the result would replace the answers; name another file with --out")
    table = read_answers(answers, load(data) if data is not None else None)
    with Bars() as bars:
        kept = cache or out.with_name(f"{out.stem}.replies.sqlite")
        judged, usage = judge_answers(table, endpoint, kept, only_unparsable, round, bars)
    beside = out.with_name(f".{out.name}.part")
    judged.to_csv(beside, index=False)
    beside.replace(out)
    found = agreement(judged)
    failed = int(judged["why"].str.startswith("not judged:").sum())
    cost = usage.cost(endpoint.prices) if endpoint else None
    if as_json:
        pairs = json.loads(found.pairs.to_json(orient="records"))  # NaN becomes null
        facts = {
            "out": str(out),
            "answers": len(judged),
            "not_judged": failed,
            "calls": usage.calls,
            "cached": usage.cached,
        }
        typer.echo(json.dumps({**facts, "cost_usd": cost, "pairs": pairs, "differ": len(found.differences)}))
        return
    _tell(found, len(judged), failed, out)
    if endpoint:
        spent = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens{options.dollars(cost)}"
        typer.echo(f"{usage.calls} calls, {usage.retries} retries, {usage.cached} from the cache; {spent}")


def _tell(found: Agreement, answers: int, failed: int, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found.pairs.empty:
        table = Table(
            "", "answers", "agreement", "Cohen's kappa", "95 % interval", title="Agreement", title_justify="left"
        )
        for row in found.pairs.to_dict("records"):
            known = row["kappa"] == row["kappa"]
            kappa = f"{row['kappa']:.3f}" if known else "not defined"
            bounds = f"{row['low']:.3f} .. {row['high']:.3f}" if row["low"] == row["low"] else ""
            pair = f"{row['rater_a']} - {row['rater_b']}"
            table.add_row(pair, str(row["n"]), f"{row['agreement']:.1%}", kappa, bounds)
        Console().print(table)
    missed = f"; {failed} could not be judged (column why says it)" if failed else ""
    typer.echo(f"{answers} answers, {len(found.differences)} on which two differ{missed}; written to {out}")
