"""Calls the command line in this process, as a user types it."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from headatlas.cli.app import make_app


def headatlas(*words: object, code: int | None = 0) -> Result:
    """The result of `headatlas <words>`; `code` None allows any exit code. Errors are raised as they are."""
    result = CliRunner().invoke(make_app(), [str(word) for word in words], catch_exceptions=False)
    assert code is None or result.exit_code == code, result.output
    return result
