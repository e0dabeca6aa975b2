"""`main`: runs a command line and turns errors and signals into one clear line and an exit code."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from headatlas.cli.app import make_app
from headatlas.cli.registry import COMMANDS, Command
from headatlas.errors import HeadAtlasError
from headatlas.registry import near

# Newer versions of typer include a click of their own: its errors are found through the one that typer names.
_UsageError: Any = typer.BadParameter.__mro__[2]

STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Exit code by the signal that stopped a command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `arguments` (default: those of the process); always ends in `SystemExit`."""
    words = [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    for name in ("stdout", "stderr"):  # None where the process was started with it closed, as some daemons do
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    with _terminated() as received:
        try:
            code = _run(words, received)
            sys.stdout.flush()
            if received or code == STOPPED[signal.SIGINT]:  # typer turns KeyboardInterrupt into this code
                _stop(words, received)
        except HeadAtlasError as error:
            _fail(str(error))
        except _UsageError as error:
            if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # the help of a command that was called without arguments
                sys.exit(2)
            _fail(usage_line(error))
        except (KeyboardInterrupt, typer.Abort):
            _stop(words, received)
        except BrokenPipeError:  # the reader of our output, such as `head`, has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            line = _os_line(error)
            if line is None:
                raise
            _fail(line)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            _fail("the device has not enough memory: take smaller batches (for a study: --set batch_size=4)")
    sys.exit(code if isinstance(code, int) else 0)


def _at_home(word: str) -> str:
    """`--out=~/runs` with the home folder in place of `~`, which shells leave as it is after an `=`."""
    option, equals, value = word.partition("=")
    is_path = option.startswith("--") and equals and (value == "~" or value.startswith("~/"))
    return f"{option}={os.path.expanduser(value)}" if is_path else word


def usage_line(error: Any) -> str:
    """What is printed for a mistake that typer finds: a command or an option that is none, or a missing or wrong value."""
    context = getattr(error, "ctx", None)
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    if option := getattr(error, "option_name", None):  # with the nearest name instead of a list of possible ones
        known = (
            [name for param in context.command.params for name in (*param.opts, *param.secondary_opts)]
            if context
            else []
        )
        message = f"no such option: {option}{near(str(option), [*known, '--help'])}"
    message = message.replace(". Did you mean ", ", did you mean ").replace("Value error, ", "")  # pydantic's prefix
    help_of = f"{context.command_path} --help" if context else "headatlas --help"
    return f"{message[:1].lower() + message[1:]}; {help_of} says what there is"


def _run(words: Sequence[str], received: Sequence[signal.Signals]) -> Any:
    """Run the command; whatever a signal made of it is a KeyboardInterrupt.

    One that arrives inside torch's compiled code comes out as a RuntimeError about an inner assertion.
    """
    try:
        return make_app()(args=words, standalone_mode=False, prog_name="headatlas")
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if received or cause is not None:
            raise KeyboardInterrupt from error
        raise


def stopped_line(words: Sequence[str]) -> str:
    """What is printed when the command line `words` was stopped: the exact command that continues or starts again."""
    command = _command(words)
    again = shlex.join(["headatlas", *words])
    anew = command is None or any(word.partition("=")[0] in command.starts_again for word in words)
    if command is not None and command.resumes and not anew:
        return f"stopped; what is done is kept, continue with: {again}"
    return f"stopped; start again with: {again}"


def _command(words: Sequence[str]) -> Command | None:
    """The registered command that `words` call, if any."""
    for n in (2, 1):
        name = " ".join(words[:n])
        if len(words) >= n and name in COMMANDS and isinstance(COMMANDS[name], Command):
            return COMMANDS[name]
    return None


@contextmanager
def _terminated() -> Iterator[list[signal.Signals]]:
    """Within, SIGTERM ends a command as Ctrl-C does; the list then holds it. Only the main thread can handle signals."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, frame: Any) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _os_line(error: OSError) -> str | None:
    """The line for an error of the file system; None for one that names no file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk ({error.filename or 'while writing'}): free some, then run the same command again"
    if error.filename is None:
        return None
    hint = "name another folder" if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) else "check the path"
    return f"cannot read or write {error.filename}: {error.strerror}; {hint}"


def _stop(words: Sequence[str], received: list[signal.Signals]) -> NoReturn:
    print(f"headatlas: {stopped_line(words)}", file=sys.stderr)
    sys.exit(STOPPED[received[0] if received else signal.SIGINT])


def _fail(line: str) -> NoReturn:
    print(f"headatlas: {line}", file=sys.stderr)
    sys.exit(2)
