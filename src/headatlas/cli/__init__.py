"""The `headatlas` command: parse, call, print.

Results go to stdout, progress and errors to stderr. A mistake in the input ends in one clear line and exit code 2; ctrl-C in 130.
"""

from __future__ import annotations

import errno
import sys
from importlib.metadata import version
from typing import Any

import typer

from headatlas.cli.compare import add_compare_command
from headatlas.cli.data import data_app
from headatlas.cli.models import models_app
from headatlas.cli.reference import reference_app
from headatlas.cli.study import add_study_commands
from headatlas.errors import HeadAtlasError

# Newer versions of typer carry a click of their own: its errors are found through the one that typer names.
_UsageError: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="headatlas",
    help="Which attention heads of a vision-language model do the spatial work, are they causal, and can the model be made "
    "better at space by acting on them?\n\nStart with: headatlas study ref-llava --out runs/demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
add_study_commands(app)
add_compare_command(app)
app.add_typer(models_app, name="models", help="Which families of VLMs are proven, and the heads of one model.")
app.add_typer(data_app, name="data", help="Build, import, decompose, review, judge and describe CogVSR datasets.")
app.add_typer(reference_app, name="reference", help="The VLMs that ship with HeadAtlas, and how they were trained.")


@app.callback(invoke_without_command=True)
def _root(show_version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if show_version:
        print(f"headatlas {version('headatlas')}")
        raise typer.Exit()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit`."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="headatlas")
    except HeadAtlasError as error:
        _fail(str(error))
    except _UsageError as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort) as stopped:
        message = str(stopped) or str(stopped.__cause__ or "")  # what was stopped may say more, such as where its cache is
        print(f"headatlas: {message or 'stopped; run the same command again to go on'}", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(
                f"the disk is full ({error.filename or 'while writing'}): free some space, then run the same command again"
            )
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            _fail(f"cannot write {error.filename}: {error.strerror}; name another folder")
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str) -> None:
    print(f"headatlas: {line}", file=sys.stderr)
    sys.exit(2)
