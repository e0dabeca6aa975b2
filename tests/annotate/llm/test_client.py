import asyncio
import base64
import json
import sqlite3

import pytest
from chat_server import Act, ChatServer, error
from PIL import Image

from headatlas.annotate.llm import (
    LLM,
    CallFailed,
    Endpoint,
    EndpointDown,
    Message,
    Picture,
    Prices,
    ReplyCache,
    Request,
    client,
    run,
)

KEY = "sk-very-secret-0123456789"


def ask(server, *texts, cache=None, schema=None, pause=0.01, **options):
    """Ask several things at once; returns (replies or errors, usage)."""
    options = {"timeout": 5.0, "tries": 4, **options}

    async def go():
        async with LLM(
            Endpoint("m", server if isinstance(server, str) else server.url, **options), cache, pause
        ) as llm:
            requests = [Request((Message("user", text),), "p.v1", schema) for text in texts]
            return await asyncio.gather(*map(llm.ask, requests), return_exceptions=True), llm.usage

    return run(go)


def scripted(*acts):
    """The acts in order; the last one is repeated."""
    return lambda body, n: acts[min(n, len(acts) - 1)]


@pytest.mark.parametrize(
    "bad",
    [
        error(429, "slow down", **{"retry-after": "0.05"}),
        error(500, "oops"),
        error(503, "loading model"),
        Act("half", cut=True),
        Act(drop=True),
        Act(body="not json"),
        Act(body='{"choices": []}'),
        Act(body='{"choices": [{"message": null}]}'),
        Act(body="[" * 100_000),
    ],
    ids=["429", "500", "503", "half", "drop", "no-json", "no-choice", "no-message", "deep"],
)
def test_a_call_that_fails_in_passing_is_made_again(bad):
    with ChatServer(scripted(bad, bad, "fine")) as server:
        (reply,), usage = ask(server, "hello")
        assert reply.content == "fine"
        assert (usage.calls, usage.retries, usage.prompt_tokens, usage.completion_tokens) == (1, 2, 100, 10)
        assert len(server.bodies) == 3


def test_a_late_server_is_asked_three_times_and_a_dripping_one_ends():
    for act in (Act("late", after=0.6), Act("drip", drip=0.02)):
        with ChatServer(scripted(act)) as server:
            (failed,), usage = ask(server, "hello", timeout=0.2, tries=6)
            assert isinstance(failed, CallFailed)
            assert "no answer within 0.2 s" in str(failed)
            assert len(server.bodies) == 3
            assert usage.calls == 0


def test_retry_after_holds_all_callers_back():
    seen = []

    def script(body, n):
        seen.append(asyncio.run(_now()))
        return error(429, "wait", **{"retry-after": "0.5"}) if n == 0 else "ok"

    with ChatServer(script) as server:
        replies, _ = ask(server, "a", "b", "c", concurrency=1)
        assert [r.content for r in replies] == ["ok"] * 3
    assert seen[1] - seen[0] >= 0.5


async def _now():
    return asyncio.get_running_loop().time()


def test_no_more_calls_at_once_than_allowed():
    with ChatServer(lambda body, n: Act("x", after=0.03)) as server:
        ask(server, *"abcdefghij", concurrency=3)
        assert 2 <= server.most_at_once <= 3


def test_nothing_is_paid_twice(tmp_path):
    with ChatServer(lambda body, n: Act(f"reply {n}", after=0.02)) as server:
        with ReplyCache(tmp_path / "c.sqlite") as cache:
            first, usage = ask(server, "same", "same", "other", cache=cache)
            assert (usage.calls, usage.cached) == (2, 1)
        with ReplyCache(tmp_path / "c.sqlite") as cache:
            again, usage = ask(server, "same", "same", "other", cache=cache)
            assert (usage.calls, usage.cached) == (0, 3)
            assert cache.totals() == {"m": {"calls": 2, "prompt_tokens": 200, "completion_tokens": 20}}
        assert first == again
        assert len(server.bodies) == 2


def test_no_part_of_the_key_is_written_anywhere(tmp_path, monkeypatch, capfd, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()
    echo = Act(f"you sent {KEY} and {basic}", headers={"x-echo": f"Bearer {KEY}", "x-basic": basic})
    with ChatServer(scripted(echo)) as server, ReplyCache(tmp_path / "c.sqlite") as cache:
        ((reply,), _) = ask(server, "hello", cache=cache)
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert reply.content.startswith("you sent [key] and ")
    said = []
    bodies = (
        KEY,
        f"{'x' * 45} {KEY}",
        json.dumps({"echo": f"Bearer {KEY}"}),
        json.dumps({"choices": [KEY]}),
        f"{'['} {basic}",
    )
    acts = [
        Act(body=text, status=status, headers={"x-echo": KEY})
        for text in bodies
        for status in (200, 400, 401, 404, 500)
    ]
    acts += [Act("", finish=KEY), Act("", finish=f"{'x' * 30}{KEY}")]
    acts += [error(status, f"bad key {text}") for text in (KEY, KEY[:16], KEY.upper()) for status in (400, 401, 500)]
    with ChatServer(lambda body, n: acts[n]) as server, ReplyCache(tmp_path / "c.sqlite") as cache:
        for _ in acts:
            ((failed,), _) = ask(server, "other", cache=cache, tries=1)
            said.append(f"{failed!r} {failed}")
        assert len(server.bodies) == len(acts)
    said += [repr(Endpoint("m")), *capfd.readouterr(), caplog.text]
    said += [file.read_bytes().decode("latin-1") for file in tmp_path.iterdir()]
    for text in said:
        for secret in (KEY, basic[8:-8]):
            assert not [i for i in range(len(secret) - 9) if secret[i : i + 10].lower() in text.lower()], text


def test_without_a_key_none_is_sent(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer(scripted("ok")) as server:
        ask(server, "hello")
        assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (error(401, "who?"), "OPENAI_API_KEY is empty"),
        (error(404, "no model m"), "has no model 'm'"),
        (error(402, "pay"), "quota is spent"),
        (Act(status=429, body='{"error": {"message": "pay", "code": "insufficient_quota"}}'), "quota is spent"),
        (Act(status=301, headers={"location": "http://127.0.0.1:1/"}), "check the base URL"),
    ],
)
def test_what_no_retry_helps_ends_at_once(act, said, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer(scripted(act)) as server:
        failed, _ = ask(server, "a", "b", "c", concurrency=1)
        assert all(isinstance(f, EndpointDown) and said in str(f) for f in failed)
        assert len(server.bodies) == 1


def test_a_server_that_is_not_there_ends_the_run():
    with ChatServer(scripted("x")) as server:
        url = server.url
    failed, _ = ask(url, *"abcdef", tries=2, concurrency=2)
    # The third call that fails is one too many; which ones these are depends on their waits.
    down = [call for call in failed if isinstance(call, EndpointDown)]
    assert len(down) == 4
    assert all("does not answer" in str(call) for call in down)


SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_a_server_that_knows_fewer_fields_is_asked_with_fewer():
    def picky(body, n):
        if "response_format" in body:
            return error(400, "response_format is not supported")
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return error(422, "Unsupported value: temperature")
        return "ok"

    with ChatServer(picky) as server:
        replies, usage = ask(server, *"abc", schema=SCHEMA)
        assert [r.content for r in replies] == ["ok"] * 3
        assert usage.retries == 0
        assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}
        ask(server, "d", schema=SCHEMA)


def test_a_vague_refusal_costs_the_schema_only_if_that_was_it():
    with ChatServer(lambda b, n: error(400, "bad") if "response_format" in b else "ok") as server:
        replies, _ = ask(server, "a", "b", schema=SCHEMA, concurrency=1)
        assert [r.content for r in replies] == ["ok", "ok"]
        assert ["response_format" in b for b in server.bodies] == [True, False, False]

    def image_refused(body, n):
        return error(400, "cannot decode this") if body["messages"][0]["content"] == "bad" else "ok"

    with ChatServer(image_refused) as server:
        replies, _ = ask(server, "bad", "good", schema=SCHEMA, concurrency=1)
        assert isinstance(replies[0], CallFailed)
        assert replies[1].content == "ok"
        assert "response_format" in server.bodies[-1]


def test_refusals_parts_and_missing_counts_are_read():
    parts = {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}], "usage": None}
    refused = {"choices": [{"message": {"content": None, "refusal": "I will not"}, "finish_reason": "stop"}]}
    with ChatServer(scripted(Act(body=json.dumps(parts)), Act(body=json.dumps(refused)))) as server:
        (one, two), usage = ask(server, "a", "b", concurrency=1)
        assert (one.content, one.finish, one.prompt_tokens) == ("ab", "stop", 0)
        assert (two.content, two.finish) == ("I will not", "refusal")
        assert usage.cost(None) is None
        assert usage.cost(Prices(1.0, 2.0)) == 0.0


def test_pictures_travel_as_data_urls_and_count_by_their_pixels():
    red, blue = (Image.new("RGB", (30, 20), color) for color in ("red", "blue"))

    def key(*images, **change):
        request = Request((Message("user", "what?", tuple(map(Picture, images))),), "p.v1", **change)
        return request.key("m", 0.0, 10)

    assert key(red) == key(red.copy()) != key(blue)
    assert len({key(red), key(), key(red, blue), key(blue, red), key(red, round=1), key(red, schema=SCHEMA)}) == 6
    big = Picture(Image.new("RGB", (4000, 100)), side=1000)
    assert big.digest == Picture(Image.new("RGB", (1000, 25))).digest
    wire = Message("user", "what?", (Picture(red),)).to_wire()
    assert wire["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert wire["content"][1] == {"type": "text", "text": "what?"}


def test_run_works_inside_a_running_loop():
    async def outer():
        return run(_now)

    assert asyncio.run(outer()) > 0


def test_a_file_that_is_no_cache_is_told(tmp_path):
    from headatlas.errors import HeadAtlasError

    (tmp_path / "notes.txt").write_text("hello, this is not a database at all" * 100)
    with pytest.raises(HeadAtlasError, match="cannot be used as a cache"):
        ReplyCache(tmp_path / "notes.txt")


def test_a_reply_is_on_the_disk_before_it_is_used(tmp_path):
    path = tmp_path / "c.sqlite"
    with ChatServer(scripted("paid for")) as server, ReplyCache(path) as cache:
        ask(server, "a", cache=cache)
        with sqlite3.connect(path) as other:  # as another process sees it
            assert other.execute("SELECT content FROM replies").fetchall() == [("paid for",)]
        other.close()


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": Infinity}',
        '{"prompt_tokens": 1e400}',
        '{"prompt_tokens": NaN}',
        '{"prompt_tokens": "7"}',
        '{"prompt_tokens": -5, "completion_tokens": 99999999999999999999999}',
        "[1]",
    ],
)
def test_a_reply_is_kept_whatever_its_bill_says(usage, tmp_path):
    said = f'{{"choices": [{{"message": {{"content": "fine"}}}}], "usage": {usage}}}'
    with ChatServer(scripted(Act(body=said))) as server, ReplyCache(tmp_path / "r.sqlite") as cache:
        (reply,), _ = ask(server, "hello", cache=cache)
        assert (reply.content, reply.prompt_tokens, reply.completion_tokens) == ("fine", 0, 0)
        assert len(server.bodies) == 1
        assert len(cache) == 1


def test_half_a_surrogate_pair_is_kept_as_what_a_file_takes(tmp_path):
    said = r'{"choices": [{"message": {"content": "left \ud83d"}, "finish_reason": "\udc00"}], "model": "m\ud800"}'
    with ChatServer(scripted(Act(body=said))) as server, ReplyCache(tmp_path / "r.sqlite") as cache:
        (reply,), _ = ask(server, "hello", cache=cache)
        assert reply.content == "left ?"
        (again,), _ = ask(server, "hello", cache=cache)
        assert again == reply
        assert len(server.bodies) == 1


def test_a_reply_without_end_is_kept_as_one_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_MOST_BYTES", 1000)
    with ChatServer(scripted("x" * 5000)) as server, ReplyCache(tmp_path / "r.sqlite") as cache:
        for _ in range(2):  # the second time from the cache: nothing is paid for twice
            (reply,), _ = ask(server, "hello", cache=cache)
            assert (reply.content, reply.finish) == ("", "too_large")
        assert len(server.bodies) == 1


def test_what_a_server_says_does_nothing_to_a_terminal():
    with ChatServer(scripted(error(400, "bad \x1b]0;title\x07\r\nrequest"))) as server:
        (failed,), _ = ask(server, "hello")
        assert isinstance(failed, CallFailed)
        assert "bad ]0;title request" in str(failed)
        assert str(failed).isprintable()
