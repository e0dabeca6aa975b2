"""The registry of commands. A command is one function in one file, here or in another package.

    from headatlas.cli import command

    @command("hello")
    def hello(name: str = "you") -> None:
        '''Say hello.'''
        print(f"hello {name}")

Another package names the module or the function in its entry points, so that it is found:

    [project.entry-points."headatlas.commands"]
    hello = "my_package.hello"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from headatlas.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

PANELS = ("Studies", "Stages of a study", "Data and models", "More")
"""Headings in `headatlas --help`, in order."""


@dataclass(frozen=True)
class Command:
    """A registered command.

    Attributes:
        name: the words that call it, such as `"compare"` or `"data build"`.
        run: a function as typer takes it; its docstring is the help text.
        panel: heading in `headatlas --help`.
        order: place among the commands of the same panel or group; ties by name.
        resumes: whether the same command, given again after a stop, continues instead of starting again.
        starts_again: options with which it starts again nevertheless.
    """

    name: str
    run: Callable[..., Any]
    panel: str = PANELS[-1]
    order: int = 100
    resumes: bool = False
    starts_again: tuple[str, ...] = ()


COMMANDS: Registry[Command] = Registry("command", ("headatlas.cli.commands.*",))


def command(
    name: str, *, panel: str = PANELS[-1], order: int = 100, resumes: bool = False, starts_again: tuple[str, ...] = ()
) -> Callable[[F], F]:
    """Register a function as the command `headatlas <name>`; arguments as the attributes of `Command`."""

    def register(run: F) -> F:
        COMMANDS.add(name, Command(name, run, panel, order, resumes, starts_again))
        return run

    return register


def found_commands() -> list[Command]:
    """Every registered command in the order of the help; an entry point that names a bare function is one, too."""
    named = [one if isinstance(one, Command) else Command(name, one) for name, one in COMMANDS.items()]
    panels = {panel: i for i, panel in enumerate(PANELS)}
    return sorted(named, key=lambda one: (panels.get(one.panel, len(panels)), one.order, one.name))
