"""A small dataset to vote on, and the page's server running in a thread."""

import contextlib
import socket
import threading
import time
import uuid

import pytest
import uvicorn
from PIL import Image

from headatlas.annotate.review import Change, Rule, Vote, VoteStore
from headatlas.annotate.review.server import make_app
from headatlas.cogvsr import CogVSR, Question, Step

HOSTILE = '<img src=x onerror="window.hit=1">"\'</script><script>window.hit=1</script>{{7*7}}&lt;b&gt;'


def question(i: int, text: str = "", extra: str = "") -> Question:
    steps = (
        Step(text=f"Where is the dog?{extra}", answer="left", answer_type="choice", options=("left", "right"),
             functions=("spatial_perception",)),
        Step(text=f"How many cats are there?{extra}", answer="2", answer_type="number",
             functions=("high_level_perception", "math_reasoning")),
        Step(text=f"So what is the answer?{extra}", answer="yes", answer_type="yes_no", functions=("decision_making",)),
    )  # fmt: skip
    return Question(
        id=f"q{i}{extra}", source=f"hand{extra}", split="E", text=text or f"Is dog {i} left of the cats?{extra}", answer="yes",
        answer_type="yes_no", options=("yes", "no", *([extra] if extra else [])), steps=steps,
        images=(Image.new("RGB", (40, 30), (0, 60 * i, 0)),),
    )  # fmt: skip


def make_data(n: int = 3, extra: str = "") -> CogVSR:
    return CogVSR.from_questions(question(i, extra=extra) for i in range(n))


@pytest.fixture
def data() -> CogVSR:
    return make_data()


def make_vote(step=0, who="ann", verdict="accept", functions=("spatial_perception",), question="q0", **fields) -> Vote:
    if verdict == "fix":
        fields.setdefault(
            "change", Change(text="Where?", answer="left", answer_type="choice", options=("left", "right"))
        )
    if verdict in ("", "reject"):
        functions = ()
    return Vote(
        id=uuid.uuid4().hex, question=question, step=step, annotator=who, verdict=verdict, functions=functions, **fields
    )


@pytest.fixture
def vote():
    return make_vote


@contextlib.contextmanager
def running(data, store, port=0, rule=None):
    """The page, served from a thread; yields its address."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    port = listening.getsockname()[1]
    app = make_app(data, store, port, rule or Rule())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture
def serving():
    return running


@pytest.fixture
def hostile() -> tuple[CogVSR, str]:
    return make_data(2, HOSTILE), HOSTILE


@pytest.fixture
def store(data, tmp_path):
    with VoteStore(tmp_path / "votes.sqlite", data) as opened:
        yield opened
