"""`headatlas data decompose`: questions into steps, by a model behind an endpoint. Thin: parses, calls, prints."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import endpoint as options
from headatlas.cli.progress import Bars

if typing.TYPE_CHECKING:
    from headatlas.annotate.decompose import Outcome


def add_decompose_commands(app: typer.Typer) -> None:
    """Add `decompose` to the `data` command line."""
    app.command("decompose")(decompose)


def decompose(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: folder, .parquet or .jsonl file, or hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new dataset; beside it OUT.decompose.")],
    model: options.Model,
    base_url: options.BaseUrl = options.DEFAULT_URL,
    key_env: options.KeyEnv = "OPENAI_API_KEY",
    verifier: Annotated[
        str | None, typer.Option(help="Model that answers every step blind to check it; default: the same model.")
    ] = None,
    verifier_url: Annotated[str | None, typer.Option(help="The verifier's endpoint, if it is another.")] = None,
    verifier_key_env: Annotated[str | None, typer.Option(help="The verifier's key, if it is another.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Have every step answered blind, and compare.")
    ] = True,
    everything: Annotated[
        bool, typer.Option("--all", help="Decompose questions with several steps too, in place of theirs.")
    ] = False,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Only the first N questions.")] = None,
    least: Annotated[int, typer.Option("--min-steps", min=1, help="Fewest steps of a question.")] = 2,
    most: Annotated[int, typer.Option("--max-steps", min=1, help="Most steps of a question.")] = 10,
    drafts: Annotated[
        int, typer.Option(min=1, help="Drafts of one question, at most; then it is listed as failed.")
    ] = 3,
    side: Annotated[int, typer.Option(min=28, help="Longest side of the image that is sent, in pixels.")] = 1024,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 8192,
    timeout: options.Timeout = 180.0,
    tries: options.Tries = 6,
    concurrency: options.Concurrency = 8,
    price_in: options.PriceIn = None,
    price_out: options.PriceOut = None,
    verifier_price_in: Annotated[float | None, typer.Option(min=0.0, help="As --price-in, of the verifier.")] = None,
    verifier_price_out: Annotated[float | None, typer.Option(min=0.0, help="As --price-out, of the verifier.")] = None,
    round: options.Round = 0,
    work: Annotated[Path | None, typer.Option(help="Folder of cache and lists; default OUT.decompose.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")] = False,
) -> None:
    """Break main questions into steps with a vision-language model behind any OpenAI-compatible endpoint.

    Every step is checked; questions that fail are listed with the reason in OUT.decompose/failures.jsonl. Killed at
    any time and run again, it goes on where it was and pays for nothing twice.

    Examples:

      headatlas data decompose data/vsr --out data/vsr-steps --model o4-mini --price-in 1.1 --price-out 4.4

      headatlas data decompose data/vsr --out data/vsr-steps --model qwen2.5vl --base-url http://127.0.0.1:11434/v1
    """
    from headatlas.annotate.decompose import Rules
    from headatlas.annotate.decompose import decompose as go
    from headatlas.annotate.llm import Endpoint
    from headatlas.cogvsr import load

    def endpoint(name: str, url: str, key: str, cost_in: float | None, cost_out: float | None) -> Endpoint:
        known = options.prices(cost_in, cost_out)
        return Endpoint(name, url, key, temperature, max_tokens, timeout, tries, concurrency, known)

    writer = endpoint(model, base_url, key_env, price_in, price_out)
    checker = None
    if verifier is not None or verifier_url is not None:
        # Another model on the same endpoint has no price until it is given one.
        checker = endpoint(
            verifier or model,
            verifier_url or base_url,
            verifier_key_env or key_env,
            verifier_price_in,
            verifier_price_out,
        )
    rules = Rules(least=least, most=most, tries=drafts, side=side, round=round)
    with Bars() as bars:
        outcome = go(load(data), writer, out, checker, verify, rules, everything, work, n, bars)
    _tell(outcome, out, work or out.with_name(f"{out.name}.decompose"), as_json)


def _tell(outcome: Outcome, out: Path, work: Path, as_json: bool) -> None:
    report = outcome.report()
    if as_json:
        typer.echo(json.dumps({"out": str(out), "work": str(work), **report}))
        return
    kept = f", {report['kept']} kept as they were" if report["kept"] else ""
    failed = f", {report['failed']} failed (see {work / 'failures.jsonl'})" if report["failed"] else ""
    typer.echo(
        f"{report['decomposed']} questions decomposed into {report['steps']} steps{kept}{failed}; written to {out}"
    )
    used = list(outcome.usage.values())
    calls, cached, retries = (sum(getattr(u, name) for u in used) for name in ("calls", "cached", "retries"))
    sent, received = (
        sum(counts[name] for counts in outcome.totals.values()) for name in ("prompt_tokens", "completion_tokens")
    )
    cost = options.dollars(outcome.cost)
    typer.echo(
        f"{calls} calls, {retries} retries, {cached} replies from the cache; in all {sent:,} + {received:,} tokens{cost}"
    )
