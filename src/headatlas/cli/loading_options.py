"""The options of every command that loads a model, added to the command's own by a decorator.

@command("explain")
@loads_model
def explain(model: str, loading: Loading) -> None:
    vlm = loading.load(model)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading

PANEL = "Loading the model"

OPTIONS: dict[str, Any] = {
    "dtype": Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            "--dtype", rich_help_panel=PANEL, help="Of the weights. [default: the checkpoint's; float32 on a CPU]"
        ),
    ],
    "quantization": Annotated[
        Literal["8bit", "4bit"] | None,
        typer.Option("--quantization", rich_help_panel=PANEL, help="Of the weights, by bitsandbytes; needs CUDA."),
    ],
    "revision": Annotated[
        str | None,
        typer.Option("--revision", rich_help_panel=PANEL, help="Branch, tag or commit of a Hugging Face id."),
    ],
    "device": Annotated[
        str | None,
        typer.Option(
            "--device", rich_help_panel=PANEL, help="Such as cpu or cuda:1. [default: the first GPU, else the CPU]"
        ),
    ],
    "device_map": Annotated[
        str | None,
        typer.Option(
            "--device-map", rich_help_panel=PANEL, help="Spread the layers over devices: auto, balanced or sequential."
        ),
    ],
    "trust_remote_code": Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            rich_help_panel=PANEL,
            help="Run code that comes with the model.",
        ),
    ],
}
"""Option by the name of its field in `vlm.loading.Loading`."""


def loads_model(run: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options in `OPTIONS`; its parameter `loading` receives them as a `Loading`."""

    @wraps(run)
    def command(*args: Any, **kwargs: Any) -> None:
        from headatlas.vlm.loading import Loading

        loading = Loading(**{name: kwargs.pop(name) for name in OPTIONS})
        run(*args, **kwargs, loading=loading)

    hints = get_type_hints(run, {**run.__globals__, "Loading": Any}, include_extras=True)
    own = [
        one.replace(annotation=hints[one.name])
        for one in inspect.signature(run).parameters.values()
        if one.name != "loading"
    ]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name == "trust_remote_code" else None,
            annotation=kind,
        )
        for name, kind in OPTIONS.items()
    ]
    signature: Any = inspect.Signature([*own, *added])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    del command.__wrapped__  # type: ignore[attr-defined]
    return command


def recorded(loading: Loading) -> dict[str, str | None]:
    """The options that are settings of a study, by the name of their setting; None for those that were left out."""
    from headatlas.vlm.loading import ANSWERS

    return {name: getattr(loading, name) for name in ANSWERS}
