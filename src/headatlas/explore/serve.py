"""Serve the page of `server.py` on this machine until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable

from headatlas.annotate.llm.stopping import stoppable
from headatlas.errors import HeadAtlasError
from headatlas.explore.desk import Desk

HOST = "127.0.0.1"


def serve(desk: Desk, port: int = 8322, ready: Callable[[str], None] | None = None) -> None:
    """Serve the page until the process is interrupted.

    Args:
        desk: the model and its data.
        port: port on 127.0.0.1; 0 takes a free one.
        ready: called with the address of the page as soon as it can be opened.

    Raises:
        HeadAtlasError: the port cannot be used, or starlette and uvicorn are not installed.
    """
    try:
        import uvicorn

        from headatlas.explore.server import make_app
    except ImportError as error:
        raise HeadAtlasError(
            "the page needs starlette and uvicorn: install them with pip install 'headatlas[review]'"
        ) from error
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise HeadAtlasError(
            f"port {port} of this machine cannot be used ({error}): name another with --port"
        ) from error
    listening.listen()
    port = listening.getsockname()[1]
    app, jobs = make_app(desk, port)
    if ready:
        ready(f"http://{HOST}:{port}/")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=1
    )
    try:
        with stoppable("stopped"):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        jobs.close()
        listening.close()
