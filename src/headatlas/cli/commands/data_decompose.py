"""`headatlas data decompose`: breaks questions into steps with a model behind an endpoint."""

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
from headatlas.storage import beside

if typing.TYPE_CHECKING:
    from headatlas.annotate.decompose import Outcome


@command("data decompose", panel=PANEL, order=40, resumes=True)
def decompose(
    context: typer.Context,
    data: options.StoredData,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the new dataset; OUT.decompose is made next to it.")
    ],
    model: endpoints.Model,
    base_url: endpoints.BaseUrl = endpoints.DEFAULT_URL,
    key_env: endpoints.KeyEnv = "OPENAI_API_KEY",
    verifier: Annotated[
        str | None,
        typer.Option(help="Model that answers every step again, as a check. [default: --model]"),
    ] = None,
    verifier_url: Annotated[str | None, typer.Option(help="Endpoint of the verifier. [default: --base-url]")] = None,
    verifier_key_env: Annotated[
        str | None, typer.Option(help="Variable with the key of the verifier. [default: --key-env]")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Let the verifier answer every step, and compare.")
    ] = True,
    everything: Annotated[
        bool, typer.Option("--all", help="Also decompose questions that have several steps, and replace these.")
    ] = False,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Only the first N questions.")] = None,
    least: Annotated[int, typer.Option("--min-steps", min=1, help="Minimum number of steps in a question.")] = 2,
    most: Annotated[int, typer.Option("--max-steps", min=1, help="Maximum number of steps in a question.")] = 10,
    drafts: Annotated[
        int, typer.Option(min=1, help="Maximum number of drafts for a question; after that it is listed as failed.")
    ] = 3,
    side: Annotated[int, typer.Option(min=28, help="Longest side of the image sent, in pixels.")] = 1024,
    temperature: endpoints.Temperature = 0.0,
    max_tokens: endpoints.MaxTokens = 8192,
    timeout: endpoints.Timeout = 180.0,
    tries: endpoints.Tries = 6,
    concurrency: endpoints.Concurrency = 8,
    price_in: endpoints.PriceIn = None,
    price_out: endpoints.PriceOut = None,
    verifier_price_in: Annotated[float | None, typer.Option(min=0.0, help="As --price-in, for the verifier.")] = None,
    verifier_price_out: Annotated[float | None, typer.Option(min=0.0, help="As --price-out, for the verifier.")] = None,
    round: endpoints.Round = 0,
    work: Annotated[
        Path | None, typer.Option(help="Folder for the cache and the lists. [default: OUT.decompose]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Break main questions into steps with a vision-language model behind any OpenAI-compatible endpoint.

    Every step is checked; questions that fail are listed with the reason in OUT.decompose/failures.jsonl. If it is stopped and
    run again, it continues where it was and pays for nothing twice.

    Examples:

      headatlas data decompose data/vsr --out data/vsr-steps --model o4-mini --price-in 1.1 --price-out 4.4

      headatlas data decompose data/vsr --out data/vsr-steps --model qwen2.5vl --base-url http://127.0.0.1:11434/v1
    """
    from headatlas.annotate.decompose import Rules
    from headatlas.annotate.decompose import decompose as go
    from headatlas.annotate.llm import Endpoint
    from headatlas.cogvsr import load

    def endpoint(name: str, url: str, key: str, cost_in: float | None, cost_out: float | None) -> Endpoint:
        known = endpoints.prices(cost_in, cost_out)
        return Endpoint(name, url, key, temperature, max_tokens, timeout, tries, concurrency, known)

    chosen = ("verifier", "verifier_url")
    details = ("verifier_key_env", "verifier_price_in", "verifier_price_out")
    if not verify:
        options.refuse_unused(context, (*chosen, *details), "only without --no-verify")
    if verifier is None and verifier_url is None:
        options.refuse_unused(context, details, "only with --verifier or --verifier-url")
    writer = endpoint(model, base_url, key_env, price_in, price_out)
    checker = None
    if verifier is not None or verifier_url is not None:
        # Another model on the same endpoint has no price unless one is given.
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
    _print_outcome(outcome, out, work or beside(out, ".decompose"), as_json)


def _print_outcome(outcome: Outcome, out: Path, work: Path, as_json: bool) -> None:
    report = outcome.report()
    if as_json:
        print_json({"out": str(out), "work": str(work), **report})
        return
    kept = f", {report['kept']} kept unchanged" if report["kept"] else ""
    failed = f", {report['failed']} failed (see {work / 'failures.jsonl'})" if report["failed"] else ""
    typer.echo(
        f"{report['decomposed']} questions decomposed into {report['steps']} steps{kept}{failed}; written to {out}"
    )
    used = list(outcome.usage.values())
    calls, cached, retries = (sum(getattr(u, name) for u in used) for name in ("calls", "cached", "retries"))
    sent, received = (
        sum(counts[name] for counts in outcome.totals.values()) for name in ("prompt_tokens", "completion_tokens")
    )
    cost = endpoints.dollars(outcome.cost)
    typer.echo(
        f"{calls} calls, {retries} retries, {cached} replies from the cache; in total {sent:,} + {received:,} tokens{cost}"
    )
