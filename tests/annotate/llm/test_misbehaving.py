"""Misbehaving servers give one clear line: no traceback, no hang, and only real replies in the cache."""

import gzip
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from raw_server import RawServer, response, sending

from headatlas.annotate.llm import LLM, CallFailed, Endpoint, EndpointDown, Message, ReplyCache, Request, run
from headatlas.errors import HeadAtlasError


def completion(**message):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def body(value, **options):
    return response(json.dumps(value).encode(), **options)


GOOD = json.dumps(completion(content="fine")).encode()


def hang(connection: socket.socket) -> None:
    time.sleep(3)


def hang_midway(connection: socket.socket) -> None:
    connection.sendall(response(GOOD)[:-5])
    time.sleep(3)


def drip(connection: socket.socket) -> None:
    for byte in response(GOOD):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for i in range(300):
        connection.sendall(b"x-%d: y\r\n" % i)
        time.sleep(0.02)


def informational(connection: socket.socket) -> None:
    for _ in range(300):
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.02)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(64):
        connection.sendall(b" " * 2**20)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
GZIP = "content-encoding: gzip\r\n"
SILENT = {
    "hang": hang,
    "hang midway": hang_midway,
    "drip": drip,
    "drip headers": drip_headers,
    "endless 1xx": informational,
    "endless body": endless,
    "reset": reset,
    "closed": sending(),
    "no status": sending(b"\r\n\r\n"),
    "no HTTP": sending(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "status 99": sending(response(b"x", status="99 What")),
    "bad header": sending(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n" + GOOD),
    "huge header": sending(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n" + GOOD),
    "length too long": sending(response(GOOD, length=len(GOOD) + 10)),
    "length too short": sending(response(GOOD, length=len(GOOD) - 10)),
    "length negative": sending(response(GOOD, length=-1)),
    "length garbage": sending(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n" + GOOD),
    "two lengths": sending(response(GOOD, headers="content-length: 3\r\n")),
    "chunked garbage": sending(CHUNKED + b"zz\r\nhello\r\n"),
    "chunked cut": sending(CHUNKED + b"ffff\r\n" + GOOD),
    "chunked twice": sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    "gzip garbage": sending(response(b"no gzip at all", headers=GZIP)),
    "gzip twice": sending(response(gzip.compress(gzip.compress(GOOD)), headers="content-encoding: gzip, gzip\r\n")),
    "brotli": sending(response(GOOD, headers="content-encoding: br\r\n")),
    "gzip cut": sending(response(gzip.compress(GOOD)[:-12], headers=GZIP)),
    "empty": sending(response(b"")),
    "204": sending(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "spaces": sending(response(b" \n ")),
    "html": sending(response(b"<!DOCTYPE html><title>Log in</title>", headers="content-type: text/html\r\n")),
    "half JSON": sending(response(GOOD[:-9])),
    "two JSON": sending(response(GOOD + GOOD)),
    "event stream": sending(response(b"data: " + GOOD + b"\n\ndata: [DONE]\n\n")),
    "nested": sending(response(b"[" * 100_000)),
    "not UTF-8": sending(response(GOOD.replace(b"fine", b"f\xefn\xe9"))),
    "unknown charset": sending(
        response(GOOD.replace(b"fine", b"f\xefn"), headers="content-type: a; charset=klingon\r\n")
    ),
    "null": sending(body(None)),
    "number": sending(body(3)),
    "text": sending(body("fine")),
    "list": sending(body([])),
    "no choices": sending(body({"id": "x"})),
    "empty choices": sending(body({"choices": []})),
    "null choices": sending(body({"choices": None})),
    "choices a dict": sending(body({"choices": {"0": completion(content="x")["choices"][0]}})),
    "choice a text": sending(body({"choices": ["fine"]})),
    "no message": sending(body({"choices": [{"text": "fine"}]})),
    "message a list": sending(body({"choices": [{"message": ["fine"]}]})),
    "content null": sending(body(completion(content=None))),
    "content empty": sending(body(completion(content="  "))),
    "content a number": sending(body(completion(content=4))),
    "content a dict": sending(body(completion(content={"text": "fine"}))),
    "content odd parts": sending(body(completion(content=[4, None]))),
    "thoughts only": sending(body(completion(content=[{"type": "thinking", "thinking": "hm"}]))),
    "tool call, said so": sending(
        body({"choices": [{"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"}]})
    ),
    "tool call": sending(body(completion(content=None, tool_calls=[{"function": {"name": "f"}}]))),
    "ollama's own": sending(body({"model": "m", "message": {"role": "assistant", "content": "fine"}, "done": True})),
}


def ask(url, cache, **options):
    options = {"timeout": 0.3, "tries": 2, **options}

    async def go():
        async with LLM(Endpoint("m", url, **options), cache, pause=0.001) as llm:
            return await llm.ask(Request((Message("user", "hi"),), "p"))

    try:
        return run(go)
    except HeadAtlasError as error:
        return error


def check(answer, kind, calls=None, says=""):
    timeout = 0.3 if calls is None else 10.0  # servers whose calls are counted answer at once, however busy the machine
    with ReplyCache(":memory:") as cache, RawServer(answer) as server:
        start = time.monotonic()
        failed = ask(server.url, cache, timeout=timeout)
        assert time.monotonic() - start < 20  # it ends
        assert type(failed) is kind, failed
        assert str(failed).isprintable()
        assert len(str(failed)) < 700
        assert says in str(failed)
        assert len(cache) == 0
        assert calls is None or server.calls == calls


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_reply_is_tried_again_and_ends_in_one_line(name):
    check(SILENT[name], CallFailed)


@pytest.mark.parametrize(
    ("value", "kind", "calls", "says"),
    [
        ({"error": {"message": "Insufficient credits", "code": 402}}, EndpointDown, 1, "quota is spent: Insufficient credits"),
        ({"error": {"message": "x", "code": "402"}}, EndpointDown, 1, "quota is spent"),
        ({"error": {"message": "x", "code": "insufficient_quota"}}, EndpointDown, 1, "quota is spent"),
        ({"error": "Insufficient balance"}, EndpointDown, 1, "quota is spent"),
        ({"error": {"message": "No auth", "code": 401}}, EndpointDown, 1, "OPENAI_API_KEY"),
        ({"error": {"type": "authentication_error", "message": "x"}}, EndpointDown, 1, "refuses"),
        ([{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no"}}], EndpointDown, 1, "refuses"),
        ({"errors": [{"message": "Incorrect API key provided"}]}, EndpointDown, 1, "refuses"),
        ({"detail": "Not authenticated"}, EndpointDown, 1, "refuses"),
        ({"object": "error", "message": "The model `m` does not exist.", "code": 40401}, EndpointDown, 1, "no model 'm'"),
        ({"error": {"message": "model 'm' not found, try pulling it first"}}, EndpointDown, 1, "no model 'm'"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, EndpointDown, 1, "quota is spent"),
        ({"error": {"message": "slow down", "code": 429}}, CallFailed, 2, "HTTP 429 slow down"),
        ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, CallFailed, 2, "HTTP 503 Overloaded"),
        ({"error": {"message": "something"}}, CallFailed, 2, "HTTP 502 something"),
        ({"error": True}, CallFailed, 2, "HTTP 502"),
        ({"error": {"message": "bad image", "code": 400}}, CallFailed, 1, "refuses this request: HTTP 400 bad image"),
        ({"choices": [{"error": {"message": "upstream died", "code": 502}, "message": {}}]}, CallFailed, 2, "upstream"),
        ({"choices": [{"error": {"code": 402}, "message": {"content": "half"}}]}, EndpointDown, 1, "quota is spent"),
        ({"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}, CallFailed, 2, "provider"),
        ({"choices": [{"finish_reason": "abort", "message": {"content": "half"}}]}, CallFailed, 2, "(abort)"),
        (
            {"choices": [{"finish_reason": "insufficient_system_resource", "message": {"content": "half"}}]},
            CallFailed,
            2,
            "provider",
        ),
        ({"code": 1113, "msg": "\u4f59\u989d\u4e0d\u8db3"}, EndpointDown, 1, "quota is spent"),
        ({"error_code": 18, "error_msg": "rate limit"}, CallFailed, 2, "rate limit"),
        ({**completion(content="fine"), "error": {"message": "late", "code": 500}}, CallFailed, 2, "HTTP 500 late"),
    ],
)  # fmt: skip
def test_errors_inside_status_200_are_errors(value, kind, calls, says):
    check(sending(body(value)), kind, calls, says)


@pytest.mark.parametrize(
    ("sent", "kind", "calls", "says"),
    [
        (response(b"", status="302 Found", headers="location: /v1/chat/completions\r\n"), EndpointDown, 1, "check the base URL"),
        (response(b"", status="400 Bad"), CallFailed, 1, "HTTP 400"),
        (body({"error": {"message": "API key not valid."}}, status="400 Bad"), EndpointDown, 1, "refuses"),
        (body({"error": {"code": "insufficient_quota"}}, status="429 Slow"), EndpointDown, 1, "quota is spent"),
        (body({"error": {"message": "Quota exceeded, per minute"}}, status="429 Slow"), CallFailed, 2, "HTTP 429"),
        (response(b"<html><title>502 Bad Gateway</title>", status="502 Bad Gateway"), CallFailed, 2, "HTTP 502 502 Bad Gateway"),
        (response(b"\xff\xfe\0", status="500 Oops"), CallFailed, 2, "HTTP 500"),
        (response(b"x" * 17_000_000, status="401 No"), EndpointDown, 1, "HTTP 401"),
        (response(b"", status="405 No"), EndpointDown, 1, "HTTP 405"),
        (response(b"x", status="999 What"), EndpointDown, 1, "HTTP 999"),
    ],
)  # fmt: skip
def test_errors_by_status(sent, kind, calls, says):
    check(sending(sent), kind, calls, says)


def test_a_service_that_never_speaks_the_protocol_ends_the_run():
    async def several(url):
        async with LLM(Endpoint("m", url, tries=1, concurrency=1, timeout=5.0), pause=0.001) as llm:
            for i in range(5):
                try:
                    await llm.ask(Request((Message("user", str(i)),), "p"))
                except CallFailed:
                    continue

    with RawServer(SILENT["html"]) as server:
        with pytest.raises(EndpointDown, match=r"does not answer .*it begins '<!DOCTYPE html>"):
            run(lambda: several(server.url))
        assert server.calls == 3


@pytest.mark.parametrize("text", ["ünï", "日本", "fine"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "latin-1"])
def test_other_encodings_of_json_are_read(text, encoding):
    try:
        raw = json.dumps(completion(content=text), ensure_ascii=False).encode(encoding)
    except UnicodeEncodeError:
        return
    header = "content-type: application/json; charset=ISO-8859-1\r\n" if encoding == "latin-1" else ""
    with RawServer(sending(response(raw, headers=header))) as server, ReplyCache(":memory:") as cache:
        assert ask(server.url, cache).content == text


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("0.01", CallFailed),
        (format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), CallFailed),
        ("Wed, 99 Foo 2015 99:99:99 GMT", CallFailed),
        ("9" * 400, CallFailed),
        ("99999999999", CallFailed),
        (format_datetime(datetime.now(UTC) + timedelta(days=4000), usegmt=True), CallFailed),
        ("\xb2\xb2", CallFailed),
        ("1_000", CallFailed),
        (format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True), EndpointDown),
        ("7200", EndpointDown),
    ],
    ids=[
        "soon",
        "yesterday",
        "no-date",
        "400-digits",
        "centuries",
        "years",
        "superscript",
        "underscore",
        "hours",
        "7200",
    ],
)
def test_how_long_a_server_asks_to_wait(asked, kind):
    sent = response(b"busy", status="503 Busy", headers=f"retry-after: {asked}\r\n")
    check(sending(sent), kind, calls=2 if kind is CallFailed else 1, says="busy")
