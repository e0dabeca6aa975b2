"""Serve a page on 127.0.0.1 until the process is interrupted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.stopping import stoppable

HOST = "127.0.0.1"


def serve_page(
    make: Callable[[int], Any],
    port: int,
    ready: Callable[[str], None] | None = None,
    message: str = "stopped",
    graceful: int | None = None,
) -> None:
    """Serve an ASGI application until the process is interrupted.

    Args:
        make: gives the application for the port that was taken.
        port: port on 127.0.0.1; 0 takes a free one.
        ready: called with the address of the page as soon as it can be opened.
        message: of `Stopped`.
        graceful: seconds to wait for open connections when stopped; None waits for all.

    Raises:
        HeadAtlasError: the port cannot be used, or starlette and uvicorn are not installed.
        Stopped: Ctrl-C or SIGTERM.
    """
    with _listening(port) as listening:
        server = _server(make, listening, ready, graceful)
        with stoppable(message):
            server.run(sockets=[listening])


@contextmanager
def page_beside(make: Callable[[int], Any], port: int, ready: Callable[[str], None] | None = None) -> Iterator[None]:
    """Serve an ASGI application from a thread while the block runs; arguments and errors as `serve_page`."""
    with _listening(port) as listening:
        server = _server(make, listening, ready, graceful=1)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(timeout=5)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on 127.0.0.1:`port`."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise HeadAtlasError(
            "the page needs starlette and uvicorn: install them with pip install 'headatlas[review]'"
        ) from error
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise HeadAtlasError(
                f"port {port} of this machine cannot be used ({error}): name another with --port"
            ) from error
        listening.listen()
        yield listening


def _server(
    make: Callable[[int], Any], listening: socket.socket, ready: Callable[[str], None] | None, graceful: int | None
) -> Any:
    import uvicorn

    taken = listening.getsockname()[1]
    app = make(taken)
    if ready:
        ready(f"http://{HOST}:{taken}/")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=graceful,
    )  # fmt: skip
    return uvicorn.Server(config)
