"""The page's server, running in a thread, with the tiny VLM and its questions."""

import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from headatlas.cogvsr import CogVSR
from headatlas.explore import Desk
from headatlas.explore.server import make_app


@pytest.fixture(scope="session")
def desk(tiny_vlm, tiny_questions):
    return Desk(tiny_vlm, CogVSR.from_questions(tiny_questions), "hand")


@contextlib.contextmanager
def running(desk):
    """The page, served from a thread; yields its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app, jobs = make_app(desk, port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        jobs.close()
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture
def serving():
    return running


@pytest.fixture(scope="module")
def address(desk):
    with running(desk) as at:
        yield at
