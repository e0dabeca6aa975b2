"""The command line as typer builds it from the registered commands."""

from __future__ import annotations

from importlib.metadata import version

import typer
from typer.core import TyperCommand

from headatlas.cli.registry import found_commands

GROUPS = {
    "data": "Build, import, decompose, review, judge and describe CogVSR datasets.",
    "models": "The model families that are proven to work, and the heads of one model.",
    "reference": "The small VLMs that ship with HeadAtlas.",
}
"""Help of each group of commands."""

HELP = (
    "Find the attention heads of a vision-language model that do spatial work, test whether they are causal, and act on "
    "them.\n\nStart with: headatlas study ref-llava --out runs/demo"
)


class _Command(TyperCommand):
    """A command whose context is the `typer.Context` that functions name, not the base class of it."""

    context_class = typer.Context


def make_app() -> typer.Typer:
    """The `headatlas` command with every registered command in it."""
    app = typer.Typer(
        name="headatlas",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback(invoke_without_command=True)(_root)
    groups: dict[str, typer.Typer] = {}
    for one in found_commands():
        group, _, last = one.name.rpartition(" ")
        if not group:
            app.command(last, cls=_Command, rich_help_panel=one.panel)(one.run)
            continue
        if group not in groups:
            groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS.get(group))
            app.add_typer(groups[group], name=group, rich_help_panel=one.panel)
        groups[group].command(last, cls=_Command)(one.run)
    return app


def _root(show_version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if show_version:
        print(f"headatlas {version('headatlas')}")
        raise typer.Exit()
