"""`headatlas explore`: the live page, or the same as files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.loading_options import loads_model
from headatlas.cli.registry import command
from headatlas.cli.study_options import loading_of

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading

MADE = 80
"""Questions that a named source makes; the page has more scenes at a click."""


@command("explore", panel="Studies", order=6)
@loads_model
def explore(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Shipped name, folder or Hugging Face id of a VLM.")],
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run directory of a study of this model: its scores, groups and directions."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help=f"{options.DATA_HELP} [default: that of --run, else cogvsr-mini]")
    ] = None,
    recipe: Annotated[
        list[Path] | None,
        typer.Option(
            "--recipe", help="Head recipe of this model to apply on the page, besides those of --run; several times."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free port.")] = 8322,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="DIR",
            help="Write a static site of examples instead of serving. A run's report links to RUN/explorer.",
        ),
    ] = None,
    examples: Annotated[int, typer.Option("--examples", min=1, max=40, help="Questions of the static site.")] = 6,
    *,
    loading: Loading,
) -> None:
    """Explore a model's heads on a page on this machine: ask, see which heads matter, change them, compare.

    Example: headatlas explore ref-llava --open
    """
    import headatlas as ha
    from headatlas.cogvsr.sources import SOURCES
    from headatlas.cogvsr.store import check_source
    from headatlas.explore import Desk, serve
    from headatlas.explore.export import check_out
    from headatlas.explore.run_facts import RunFacts, check_run
    from headatlas.vlm import HeadRecipe

    # Everything that can be wrong is looked at before the model is loaded.
    if run is not None:
        loading = loading_of(run, model, loading)
        check_run(run)
    for folder in recipe or ():
        loading = loading.like(HeadRecipe.load(folder))
    if export is not None:
        check_out(export)
    loading.check(model)
    check_source(data or "cogvsr-mini")
    typer.echo("reading the model and the questions", err=True)
    questions = None if data is None and run is not None else ha.cogvsr.load(data or "cogvsr-mini", n=MADE)
    vlm = loading.load(model)
    facts = None if run is None else RunFacts(run, vlm)
    name = data or ("cogvsr-mini" if facts is None else facts.data_name)
    n = MADE if name in SOURCES else None
    questions = ha.cogvsr.load(name, n=MADE) if questions is None else questions
    desk = Desk(vlm, questions, name, facts, recipe or (), n)
    if export is not None:
        from headatlas.cli.progress import Bars
        from headatlas.explore import export as write

        with Bars() as bars:
            page = write(desk, export, examples, bars)
        typer.echo(str(page))
        return

    def ready(address: str) -> None:
        typer.echo(f"{address} (stop with Ctrl-C)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    # In the background of a script, where Ctrl-C is ignored, the server ends by itself and raises nothing.
    with suppress(KeyboardInterrupt):
        serve(desk, port, ready)
    typer.echo("stopped")
