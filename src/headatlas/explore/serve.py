"""Serve the page of `server.py` on this machine until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from headatlas.explore.desk import Desk
from headatlas.local_page import serve_page


def serve(desk: Desk, port: int = 8322, ready: Callable[[str], None] | None = None) -> None:
    """Serve the page until the process is interrupted.

    Args:
        desk: the model and its data.
        port: port on 127.0.0.1; 0 takes a free one.
        ready: called with the address of the page as soon as it can be opened.

    Raises:
        HeadAtlasError: the port cannot be used, or starlette and uvicorn are not installed.
    """
    with ExitStack() as open_jobs:

        def make(taken: int) -> Any:
            from headatlas.explore.server import make_app

            app, jobs = make_app(desk, taken)
            open_jobs.callback(jobs.close)
            return app

        serve_page(make, port, ready, graceful=1)
