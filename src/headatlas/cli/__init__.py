"""The `headatlas` command line: parse, call, print.

Results go to stdout, progress and errors to stderr. Exit codes: 2 for a mistake in the input (one clear line), 130 after
Ctrl-C and 143 after SIGTERM (one line with the command that continues).
"""

from headatlas.cli.entry import main
from headatlas.cli.registry import COMMANDS, Command, command

__all__ = ["COMMANDS", "Command", "command", "main"]
