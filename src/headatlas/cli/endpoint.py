"""Options with which a command names a model behind an endpoint. Knows typer and `llm.Endpoint`."""

from __future__ import annotations

from typing import Annotated

import typer

from headatlas.annotate.llm import Endpoint, Prices
from headatlas.errors import HeadAtlasError

Model = Annotated[str, typer.Option("--model", help="The model's name, as the endpoint knows it.")]
BaseUrl = Annotated[
    str,
    typer.Option(
        "--base-url",
        envvar="OPENAI_BASE_URL",
        help="Any OpenAI-compatible endpoint: vLLM (http://127.0.0.1:8000/v1), Ollama (http://127.0.0.1:11434/v1), ...",
    ),
]
KeyEnv = Annotated[
    str, typer.Option("--key-env", metavar="NAME", help="Environment variable with the API key; empty: no key is sent.")
]
Temperature = Annotated[float, typer.Option(min=0.0, max=2.0, help="0 makes replies as repeatable as the server can.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Most tokens of a reply, thinking included.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds that a reply may take.")]
Tries = Annotated[int, typer.Option(min=1, help="How often a call is made when the server is busy or broken.")]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, help="Calls under way at once.")]
PriceIn = Annotated[float | None, typer.Option(min=0.0, help="US dollars for a million tokens sent.")]
PriceOut = Annotated[float | None, typer.Option(min=0.0, help="US dollars for a million tokens received.")]
Round = Annotated[
    int, typer.Option("--round", min=0, help="A new number asks anew what is in the cache, failures included.")
]

DEFAULT_URL = Endpoint("any").base_url


def prices(per_million_in: float | None, per_million_out: float | None) -> Prices | None:
    """The prices, if both are given; one alone is a mistake."""
    if per_million_in is None and per_million_out is None:
        return None
    if per_million_in is None or per_million_out is None:
        raise HeadAtlasError("expected both --price-in and --price-out (dollars for a million tokens), came one")
    return Prices(per_million_in, per_million_out)


def dollars(cost: float | None) -> str:
    """A cost for people; nothing where it is not known."""
    return "" if cost is None else f", ${cost:.2f}" if cost >= 0.01 else f", ${cost:.4f}"
