"""Serve the review page of `server.py` on this machine until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headatlas.annotate.review.decide import Rule
from headatlas.annotate.review.votes import VoteStore
from headatlas.cogvsr.store import CogVSR
from headatlas.local_page import serve_page


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
        HeadAtlasError: the port cannot be used, or starlette and uvicorn are not installed.
        Stopped: Ctrl-C or SIGTERM; the message says how to continue.
    """

    def make(taken: int) -> Any:
        from headatlas.annotate.review.server import make_app

        return make_app(data, store, taken, rule or Rule())

    serve_page(make, port, ready, f"stopped; all votes are in {store.path}: run the same command again to go on")
