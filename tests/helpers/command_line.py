"""Calls the command line in this process, as a user types it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from typer.testing import CliRunner, Result

from headatlas.cli import main
from headatlas.cli.app import make_app


def headatlas(*words: object, code: int | None = 0) -> Result:
    """The result of `headatlas <words>`; `code` None allows any exit code. Errors are raised as they are."""
    result = CliRunner().invoke(make_app(), [str(word) for word in words], catch_exceptions=False)
    assert code is None or result.exit_code == code, result.output
    return result


def ended(*words: object) -> tuple[int, str]:
    """Exit code of `headatlas <words>` as `main` ends it, and what stands on stderr; any other exception is raised as it is."""
    errors = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()


def mistake(*words: object) -> str | None:
    """The line with which `headatlas <words>` refuses; None if it ends well. Anything else fails the test."""
    code, errors = ended(*words)
    if code == 0:
        return None
    line = errors.strip().splitlines()[-1]
    assert code == 2, errors
    assert line.startswith("headatlas: "), errors
    assert "Traceback" not in errors
    return line
