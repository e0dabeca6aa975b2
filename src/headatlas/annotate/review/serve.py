"""Serve the review page of `server.py` on this machine until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable

from headatlas.annotate.llm.stopping import stoppable
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
        data: the questions.
        store: where votes are stored.
        port: port on 127.0.0.1; 0 takes a free one.
        rule: when a step counts as decided.
        ready: called with the address of the page as soon as it can be opened.

    Raises:
        HeadAtlasError: the port cannot be used.
        Stopped: Ctrl-C or SIGTERM; the message says how to go on.
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
    message = f"stopped; all votes are in {store.path}: run the same command again to go on"
    try:
        with stoppable(message):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
