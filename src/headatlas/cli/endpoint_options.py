"""Options that name a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from headatlas.annotate.llm import Endpoint, Prices
from headatlas.errors import HeadAtlasError

Model = Annotated[str, typer.Option("--model", help="Name of the model at the endpoint.")]
BaseUrl = Annotated[
    str,
    typer.Option(
        "--base-url",
        envvar="OPENAI_BASE_URL",
        help="An OpenAI-compatible endpoint: vLLM (http://127.0.0.1:8000/v1), Ollama (http://127.0.0.1:11434/v1), ...",
    ),
]
KeyEnv = Annotated[
    str,
    typer.Option("--key-env", metavar="NAME", help="Environment variable that holds the API key; empty sends no key."),
]
Temperature = Annotated[
    float, typer.Option(min=0.0, max=2.0, help="0 makes replies as repeatable as the server allows.")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="Maximum number of tokens in a reply, thinking included.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Maximum seconds for a reply.")]
Tries = Annotated[int, typer.Option(min=1, help="Attempts per call when the server is busy or fails.")]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, help="Calls made at the same time.")]
PriceIn = Annotated[float | None, typer.Option(min=0.0, help="US dollars per million tokens sent.")]
PriceOut = Annotated[float | None, typer.Option(min=0.0, help="US dollars per million tokens received.")]
Round = Annotated[
    int,
    typer.Option("--round", min=0, help="A new number ignores the cached replies of other rounds, failures included."),
]

DEFAULT_URL = Endpoint("any").base_url


def prices(per_million_in: float | None, per_million_out: float | None) -> Prices | None:
    """The prices, None if none is given.

    Raises:
        HeadAtlasError: only one of the two is given.
    """
    if per_million_in is None and per_million_out is None:
        return None
    if per_million_in is None or per_million_out is None:
        raise HeadAtlasError(
            "--price-in and --price-out (dollars per million tokens) must be given together, got only one"
        )
    return Prices(per_million_in, per_million_out)


def dollars(cost: float | None) -> str:
    """A cost as text to append, such as ", $1.20"; empty if it is not known."""
    return "" if cost is None else f", ${cost:.2f}" if cost >= 0.01 else f", ${cost:.4f}"
