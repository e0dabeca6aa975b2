"""`headatlas data judge`: judges answers in a CSV file by the parser and by a model, and measures how far they agree."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import endpoint_options as endpoints
from headatlas.cli import options
from headatlas.cli.commands.data_build import PANEL
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.errors import HeadAtlasError

if typing.TYPE_CHECKING:
    from headatlas.annotate.judge import Agreement


_ENDPOINT = (
    "base_url", "key_env", "only_unparsable", "cache", "temperature", "max_tokens", "timeout", "tries", "concurrency",
    "price_in", "price_out", "round",
)  # fmt: skip
"""Options that say how the judging model is called."""


@command("data judge", panel=PANEL, order=60, resumes=True)
def judge(
    context: typer.Context,
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            help="File with the columns text (the answer given) and gold, optionally question, answer_type, options (joined "
            "by |) and human (correct, incorrect or unparsable).",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file to write. [default: CSV.judged.csv]")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Name of the judging model; without it, only the parser judges.")
    ] = None,
    base_url: endpoints.BaseUrl = endpoints.DEFAULT_URL,
    key_env: endpoints.KeyEnv = "OPENAI_API_KEY",
    data: Annotated[
        str | None, typer.Option(help="Dataset whose steps are named by the columns question (id) and step (from 0).")
    ] = None,
    only_unparsable: Annotated[
        bool, typer.Option("--only-unparsable", help="Ask the judge only about answers that the parser cannot read.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="SQLite file of replies. [default: OUT.replies.sqlite]")] = None,
    temperature: endpoints.Temperature = 0.0,
    max_tokens: endpoints.MaxTokens = 8192,
    timeout: endpoints.Timeout = 180.0,
    tries: endpoints.Tries = 6,
    concurrency: endpoints.Concurrency = 8,
    price_in: endpoints.PriceIn = None,
    price_out: endpoints.PriceOut = None,
    round: endpoints.Round = 0,
    as_json: options.AsJson = False,
) -> None:
    """Judge answers, and report how far judge, parser and human labels agree (share and Cohen's kappa).

    Example: headatlas data judge answers.csv --model gpt-5-mini --out judged.csv
    """
    from headatlas.annotate.judge import agreement, judge_answers, read_answers
    from headatlas.annotate.llm import Endpoint
    from headatlas.cogvsr import load
    from headatlas.report.export import write_text

    endpoint = None
    if model is None:
        options.refuse_unused(context, _ENDPOINT, "only with --model")
    else:
        known = endpoints.prices(price_in, price_out)
        endpoint = Endpoint(model, base_url, key_env, temperature, max_tokens, timeout, tries, concurrency, known)
    table = read_answers(answers, load(data) if data is not None else None)
    out = out or answers.with_name(f"{answers.stem}.judged.csv")
    if out.resolve() == answers.resolve():
        raise HeadAtlasError(f"the result would replace the answers in {out}: name another file with --out")
    with Bars() as bars:
        replies = cache or out.with_name(f"{out.stem}.replies.sqlite")
        judged, usage = judge_answers(table, endpoint, replies, only_unparsable, round, bars)
    write_text(out, judged.to_csv(index=False))
    found = agreement(judged)
    failed = int(judged["why"].str.startswith("not judged:").sum())
    cost = usage.cost(endpoint.prices) if endpoint else None
    if as_json:
        pairs = found.pairs.to_dict("records")
        facts = {
            "out": str(out),
            "answers": len(judged),
            "not_judged": failed,
            "calls": usage.calls,
            "cached": usage.cached,
        }
        print_json({**facts, "cost_usd": cost, "pairs": pairs, "differ": len(found.differences)})
        return
    _print_agreement(found, len(judged), failed, out)
    if endpoint:
        spent = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens{endpoints.dollars(cost)}"
        typer.echo(f"{usage.calls} calls, {usage.retries} retries, {usage.cached} from the cache; {spent}")


def _print_agreement(found: Agreement, answers: int, failed: int, out: Path) -> None:
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
    missed = f"; {failed} could not be judged (the column why says why not)" if failed else ""
    typer.echo(f"{answers} answers, {len(found.differences)} with different verdicts{missed}; written to {out}")
