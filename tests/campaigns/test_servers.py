"""65 servers that misbehave at random: a model that writes steps, a detector of boxes, and a host of pictures.

A run ends in good time. What is right is kept, what fails is listed by name, and with a server that behaves the rest is made.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from raw_server import RawServer, response

from headatlas.annotate.decompose import decompose
from headatlas.annotate.llm import Endpoint
from headatlas.cogvsr import CogVSR, Question, Step, load
from headatlas.errors import HeadAtlasError
from headatlas.importing import import_dataset
from headatlas.importing.download import Downloads
from headatlas.latent import get_detector

from .conftest import one_line
from .damage import bytes_changed, json_changed

CASES = 65
EVERY_TIME = 3

N = 5
"""Questions of a dataset."""
SLOW = 3.0
"""Seconds for which a server does nothing; clients wait 0.3."""

BOMB = gzip.compress(b" " * 2**27)

Answer = Callable[[socket.socket, "Misbehaving"], None]


class Misbehaving(RawServer):
    """Answers rightly, except for every request that `rng` picks; `good` makes the right body of a request's."""

    def __init__(
        self, good: Callable[[bytes], bytes], acts: list[Callable[[bytes], Answer]], rng: random.Random, share: float
    ):
        super().__init__(lambda connection: None)
        self.good, self.acts, self.rng, self.share = good, acts, rng, share
        self.right = 0

    def answer(self, connection: socket.socket, body: bytes) -> None:
        """As the class says."""
        right = self.good(body)
        if self.rng.random() < self.share:
            self.rng.choice(self.acts)(right)(connection, self)
        else:
            connection.sendall(response(right))
            self.right += 1


def sent(*parts: bytes, pause: float = 0.0) -> Answer:
    def act(connection: socket.socket, server: Misbehaving) -> None:
        for part in parts:
            connection.sendall(part)
            server.wait(pause)

    return act


def reset(connection: socket.socket, server: Misbehaving) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(connection: socket.socket, server: Misbehaving) -> None:
    server.wait(SLOW)


def endless(connection: socket.socket, server: Misbehaving) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(48):
        connection.sendall(b" " * 2**20)


def kinds(rng: random.Random) -> dict[str, Callable[[bytes], Answer]]:
    """Ways to answer, by name, each drawn anew; given the right body."""
    status = rng.choice(
        (100, 201, 204, 206, 301, 302, 307, 304, 400, 404, 408, 409, 413, 418, 425, 429, 451, 500, 502, 503, 504, 599)
    )
    wait = rng.choice(
        (
            "0",
            "0.01",
            "-5",
            "soon",
            "1e3",
            "inf",
            "nan",
            "",
            " 1 ",
            "9" * 30,
            formatdate(0, usegmt=True),
            "Mon, 32 Jan 2030 25:00:00 GMT",
            formatdate(time.time() + 0.2, usegmt=True),
            formatdate(4e9, usegmt=True),
            "\xff",
        )
    )
    where = rng.choice(
        ("/", "http://127.0.0.1:1/x", "//x/y", "", "ftp://x", "http://[", "/a" * 40_000, "file:///etc/passwd")
    )
    header = rng.choice(
        (
            "content-encoding: gzip",
            "content-encoding: br",
            "content-encoding: deflate, gzip",
            "transfer-encoding: chunked",
            "content-type: text/html; charset=nonsense",
            "content-length: 5",
            "x: " + "y" * 200_000,
            "no colon",
            "set-cookie: a\x00b",
            "content-range: bytes 0-1/9",
            "connection: upgrade",
        )
    )
    errors = rng.choice(
        (
            {"error": {"message": "Insufficient credits", "code": 402}},
            {"error": {"message": "late", "code": 500}},
            {"error": "no"},
            {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
            {"detail": [{"msg": "field required"}]},
            {"errors": []},
            {"error": {"message": "x" * 50_000}},
            {"error": {"message": "\x1b[31mred\x00"}},
            {"code": 1113, "msg": "no balance"},
            {"error": None},
        )
    )
    share = rng.random()
    return {
        "status": lambda body: sent(response(body, status=f"{status} Odd")),
        "bare status": lambda body: sent(response(b"", status=f"{status} Odd")),
        "wait": lambda body: sent(response(b"busy", status="429 Busy", headers=f"retry-after: {wait}\r\n")),
        "redirect": lambda body: sent(
            response(b"", status=f"{rng.choice((301, 302, 307, 308))} There", headers=f"location: {where}\r\n")
        ),
        "header": lambda body: sent(response(body, headers=f"{header}\r\n")),
        "error in 200": lambda body: sent(response(json.dumps(errors).encode())),
        "cut": lambda body: sent(response(body)[: int(len(response(body)) * share)]),
        "too long": lambda body: sent(response(body, length=len(body) + 7)),
        "drip": lambda body: sent(*(response(body)[i : i + 1] for i in range(120)), pause=0.02),
        "two": lambda body: sent(response(body) * 2),
        "no HTTP": lambda body: sent(rng.randbytes(300)),
        "HTTP 0.9": lambda body: sent(body),
        "bomb": lambda body: sent(response(BOMB, headers="content-encoding: gzip\r\n")),
        "reset": lambda body: reset,
        "closed": lambda body: sent(),
        "silent": lambda body: silent,
        "endless": lambda body: endless,
        "html": lambda body: sent(response(b"<html><title>Sign in</title>", headers="content-type: text/html\r\n")),
    }


def changed(rng: random.Random) -> dict[str, Callable[[bytes], Answer]]:
    """Ways to answer with another body."""
    return {
        "JSON": lambda body: sent(response(json.dumps(json_changed(json.loads(body), rng)).encode())),
        "bytes": lambda body: sent(response(bytes_changed(body, rng))),
        "other JSON": lambda body: sent(
            response(rng.choice((b"null", b"[]", b"3", b"{}", b'"x"', b"[" * 9000, b"\xff\xfe", b"")))
        ),
    }


# -- a model that writes steps --------------------------------------------------------------------------------------------


def question(i: int) -> Question:
    text = f"Is the dog left of cat {i}?"
    step = Step(text=text, answer="yes", answer_type="yes_no", functions=("relational_reasoning",))
    return Question(
        id=f"q{i}", source="hand", split="E", images=(Image.new("RGB", (8, 8), (10 * i, 0, 0)),), text=text, answer="yes",
        answer_type="yes_no", steps=(step,),
    )  # fmt: skip


def written(text: str, answer: object, kind: str, function: str, image: bool = True) -> dict[str, Any]:
    return {
        "question": text,
        "answer": answer,
        "answer_type": kind,
        "options": [],
        "functions": [function],
        "needs_image": image,
    }


CHAIN = [
    written("Which animals does the question name?", "dog and cat", "text", "information_extraction", False),
    written("In which column is the dog?", 2, "number", "spatial_perception"),
    written("In which column is the cat?", 4, "number", "spatial_perception"),
    written("So what is the answer?", "yes", "yes_no", "decision_making"),
]


def completion(content: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()


def steps(body: bytes) -> bytes:
    return completion(json.dumps({"steps": CHAIN}))


def run_decompose(data: CogVSR, server: RawServer, out: Path) -> Any:
    endpoint = Endpoint("m", server.url, timeout=0.3, tries=3, concurrency=2)
    return decompose(data, endpoint, out, verify=False, pause=0.001)


@pytest.fixture(scope="module")
def data():
    return CogVSR.from_questions(question(i) for i in range(N))


def chains(path: Path) -> list[tuple]:
    return [(q.id, [(s.text, s.answer) for s in q.steps]) for q in load(path)]


RIGHT = [(f"q{i}", [(step["question"], str(step["answer"])) for step in CHAIN]) for i in range(N)]


def ask_for_steps(rng: random.Random, data: CogVSR, folder: Path, acts: list, same: bool) -> None:
    out = folder / "out"
    with Misbehaving(steps, acts, rng, rng.choice((0.3, 0.6, 1.0))) as server:
        try:
            outcome = run_decompose(data, server, out)
        except HeadAtlasError as error:
            one_line(error)
        else:
            failed = [one_line(failure.reasons[-1]) for failure in outcome.failures]
            assert len(outcome.chains) + len(failed) == N, "a question is lost"
            assert len(load(out)) == len(outcome.chains)
            assert not same or all(chain in RIGHT for chain in chains(out))
        right = server.right
    with Misbehaving(steps, [], rng, 0.0) as server:
        outcome = run_decompose(data, server, out)
        assert not same or chains(out) == RIGHT
        assert len(outcome.chains) + len(outcome.failures) == N
        assert right + server.calls <= N or not same, "a reply is paid for twice"


# -- a detector -----------------------------------------------------------------------------------------------------------


BOXES = {"things": [{"label": "dog", "box": [0.1, 0.1, 0.3, 0.5]}]}


def boxes(body: bytes) -> bytes:
    return completion(json.dumps(BOXES))


def ask_for_boxes(rng: random.Random, data: CogVSR, folder: Path, acts: list, same: bool) -> None:
    with Misbehaving(boxes, acts, rng, 0.7) as server:
        detector: Any = get_detector("endpoint:m", base_url=server.url, cache=folder / "replies.sqlite")
        object.__setattr__(detector.endpoint, "timeout", 0.3)
        object.__setattr__(detector.endpoint, "tries", 2)
        for one in data:
            try:
                found = detector(one)
            except HeadAtlasError as error:
                one_line(error)
            else:
                corners = [(label, box.x0, box.y0, box.x1, box.y1) for label, box in found]
                assert not same or corners == [("dog", 0.1, 0.1, 0.3, 0.5)]


# -- a host of pictures ---------------------------------------------------------------------------------------------------


def picture(i: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * i, 9, 200)).save(buffer, format="PNG")
    return buffer.getvalue()


def ask_for_pictures(rng: random.Random, data: CogVSR, folder: Path, acts: list, same: bool, monkeypatch: Any) -> None:
    before = Downloads.__init__
    patient = {"tries": 2, "pause": 0.001, "timeout": 0.3, "patience": 0.5}
    monkeypatch.setattr(Downloads, "__init__", lambda self, cache: before(self, cache, **patient))
    shown = picture(3)
    with Misbehaving(lambda body: shown, acts, rng, 0.5) as server:
        rows = [
            {"id": f"q{i}", "image": f"{server.url}/{i}.png", "question": "Is it red?", "answer": "yes"}
            for i in range(N)
        ]
        (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            report = import_dataset("own", folder / "x.jsonl", folder / "out", n=None, cache=folder / "cache")
        except HeadAtlasError as error:
            one_line(error)
            return
        missing = [one_line(str(one)) for one in report.missing]
        assert report.questions + len(missing) == N, "a record is lost"
        for one in load(folder / "out"):
            assert one.images[0].getpixel((0, 0)) == (120, 9, 200) or not same


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_misbehaves_is_waited_out_or_named(case, data, tmp_path, monkeypatch):
    rng = random.Random(case)
    known = kinds(rng)
    same = case % 3 != 2
    drawn = list(known) if same else [*known, *changed(rng)]
    chosen = rng.sample(drawn, rng.choice((1, 2, 5)))
    if not same:
        chosen.append(rng.choice(("bytes", "other JSON", "JSON", "bytes")))
    everything = {**known, **changed(rng)}
    acts: list = [everything[name] for name in chosen if case % 5 != 4 or name != "JSON"]  # pictures are no JSON
    start = time.monotonic()
    if case % 5 == 3:
        ask_for_boxes(rng, data, tmp_path, acts, same)
    elif case % 5 == 4:
        ask_for_pictures(rng, data, tmp_path, acts, same, monkeypatch)
    else:
        ask_for_steps(rng, data, tmp_path, acts, same)
    assert time.monotonic() - start < 100, chosen
