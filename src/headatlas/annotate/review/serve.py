"""Serving the review page on this machine until it is interrupted. Knows sockets and uvicorn; `server.py` is what is served."""

from __future__ import annotations

import socket
from collections.abc import Callable

from headatlas.annotate.review.decide import Rule
from headatlas.annotate.review.votes import VoteStore
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError

HOST = "127.0.0.1"


def serve(
    data: CogVSR,
    store: VoteStore,
    port: int = 8321,
    rule: Rule | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page until the process is interrupted.

    Args:
        data: The questions.
        store: Where votes are kept.
        port: 0 takes a free one.
        rule: When a step counts as decided.
        ready: Called with the page's address as soon as it can be opened.

    Raises:
        HeadAtlasError: The port is taken.
    """
    try:
        import uvicorn

        from headatlas.annotate.review.server import make_app
    except ImportError as error:
        raise HeadAtlasError(
            "the review page needs starlette and uvicorn: install them with pip install 'headatlas[review]'"
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
    if ready:
        ready(f"http://{HOST}:{port}/")
    app = make_app(data, store, port, rule or Rule())
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
