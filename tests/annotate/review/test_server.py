import http.client
import json
import os
import signal
import socket
import threading

import pytest

from headatlas.annotate.llm import Stopped
from headatlas.annotate.review import serve


def call(address, method="GET", path="/", body=None, **headers):
    """One request with exactly these headers; returns (status, headers, body)."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
        if data is not None and "content_length" not in headers:
            headers["content_length"] = str(len(data))
        for name, value in headers.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(data)
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def post(address, vote, **headers):
    fields = vote if isinstance(vote, (dict, list, bytes)) else vote.model_dump(mode="json")
    headers = {"origin": address, "content_type": "application/json", **headers}
    status, _, body = call(address, "POST", "/api/vote", fields, **headers)
    return status, json.loads(body) if body.startswith(b"{") else body.decode()


@pytest.fixture
def address(data, store, serving):
    with serving(data, store) as found:
        yield found


def test_the_page_and_its_files_are_sealed(address):
    for path, kind in (("/", "text/html"), ("/review.js", "text/javascript"), ("/review.css", "text/css")):
        status, headers, body = call(address, path=path)
        assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert body
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_vote_is_kept_before_it_is_answered(address, store, vote):
    one = vote()
    status, said = post(address, one)
    assert status == 200
    assert said["id"] == one.id
    assert [v.id for v in store.votes()] == [one.id]
    assert post(address, one)[0] == 200  # sent again after a lost reply
    assert len(store.history()) == 1
    status, _, body = call(address, path="/api/questions?annotator=ann")
    assert [q["done"] for q in json.loads(body)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "evil.example:{port}"}, 421),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1:1"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost:{port}"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
    ],
)
def test_other_sites_read_nothing(address, headers, expected):
    filled = {name: value.format(port=address.rpartition(":")[2]) for name, value in headers.items()}
    for path in ("/api/about", "/api/question/0", "/image/0/0"):
        assert call(address, path=path, **filled)[0] == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_length": "100000000"}, 413),
        ({"content_length": None, "transfer_encoding": "chunked"}, 411),
        ({"content_type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_other_sites_cast_no_vote(address, store, vote, headers, expected):
    assert post(address, vote(), **headers)[0] == expected
    assert len(store.history()) == (expected == 200)


CHANGE = {"text": "x", "answer": "left", "answer_type": "choice", "options": ["left", "right"]}


def test_two_hosts_are_none(address):
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20) as raw:
        here = address.removeprefix("http://")
        raw.sendall(f"GET /api/about HTTP/1.1\r\nHost: {here}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(64).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"question": "nowhere"}, "no question 'nowhere'"),
        ({"step": 9}, "has 3 steps, got step 10"),
        ({"step": 10**30}, ""),
        ({"verdict": "maybe"}, "verdict"),
        ({"annotator": " "}, "annotator"),
        ({"functions": []}, "at least one function"),
        ({"functions": ["telepathy"]}, "cognitive function must be one of"),
        ({"verdict": "fix", "change": {**CHANGE, "answer": "up"}}, "one of the options"),
        ({"verdict": "fix", "change": {**CHANGE, "answer": "right"}, "step": 2}, "the last step"),
    ],
)
def test_what_is_no_vote_is_told_and_not_kept(address, store, vote, fields, said):
    status, told = post(address, {**vote().model_dump(mode="json"), **fields})
    assert status == 422
    assert said in told["error"]
    assert not store.history()


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"x"', b"[" * 60_000])
def test_nonsense_is_no_crash(address, store, body):
    assert post(address, body)[0] == 422
    assert not store.history()


def test_questions_images_and_what_is_not_there(address):
    _, _, body = call(address, path="/api/question/1?annotator=ann")
    told = json.loads(body)
    assert told["id"] == "q1"
    assert told["images"] == ["/image/1/0"]
    assert [s["answer"] for s in told["steps"]] == ["left", "2", "yes"]
    status, headers, image = call(address, path="/image/1/0")
    assert (status, headers["content-type"], image[:4]) == (200, "image/png", b"\x89PNG")
    for path in (
        "/image/1/7",
        "/image/99/0",
        "/api/question/99",
        "/image/../../etc/passwd",
        "/%2e%2e/votes.sqlite",
        "/votes.sqlite",
    ):
        assert call(address, path=path)[0] == 404
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert call(address, method)[0] == 405


def test_annotators_see_their_own_votes_and_adjudicators_all(address, vote):
    for one in (vote(who="ann"), vote(who="bob", verdict="reject"), vote(1, who="bob", functions=("math_reasoning",))):
        post(address, one)

    def seen(name, role="annotator"):
        told = json.loads(call(address, path=f"/api/question/0?annotator={name}&role={role}")[2])
        return (
            [v["annotator"] for v in told["mine"]],
            [v["annotator"] for v in told["others"]],
            [s["state"] for s in told["states"]],
        )

    assert seen("ann") == (["ann"], [], [])
    assert seen("bob") == (["bob", "bob"], [], [])
    assert seen("zoe", "adjudicator") == ([], ["ann", "bob", "bob"], ["undecided", "open", "open"])
    states = json.loads(call(address, path="/api/questions?annotator=zoe&role=adjudicator")[2])
    assert [q["state"] for q in states] == ["undecided", "", ""]
    table = json.loads(call(address, path="/api/agreement")[2])
    assert table["annotators"] == ["ann", "bob"]
    assert table["rows"][0]["steps"] == 1


def test_an_image_that_cannot_be_read_is_told(data, tmp_path, serving):
    from headatlas.annotate.review import VoteStore
    from headatlas.cogvsr import load

    rows = [
        {**json.loads(q.model_dump_json(exclude={"images"})), "images": ["broken.png"]} for q in data.without_images()
    ]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    broken = load(tmp_path / "d.jsonl")
    with VoteStore(tmp_path / "v.sqlite", broken) as store, serving(broken, store) as address:
        assert call(address, path="/api/question/0")[0] == 200
        status, _, body = call(address, path="/image/0/0")
        assert status == 422
        assert "cannot be read" in json.loads(body)["error"]


def test_a_page_of_another_dataset_neither_reads_nor_votes(address, store, vote):
    for path in ("/api/questions", "/api/question/0"):
        assert call(address, path=f"{path}?annotator=ann&steps={store.fingerprint}")[0] == 200
        assert call(address, path=f"{path}?annotator=ann&steps=0123456789abcdef")[0] == 503
    headers = {"origin": address, "content_type": "application/json"}
    fields = vote().model_dump(mode="json")
    status, _, said = call(address, "POST", "/api/vote?steps=0123456789abcdef", fields, **headers)
    assert status == 503  # not 4xx: the page keeps the vote and sends it again
    assert b"another dataset" in said
    assert store.history() == []
    assert call(address, "POST", f"/api/vote?steps={store.fingerprint}", fields, **headers)[0] == 200


def test_a_vote_that_cannot_be_stored_is_refused_for_now_and_the_page_keeps_it(address, store, vote):
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    statuses = [post(address, vote(note="x" * 2000)) for _ in range(3)]
    status, said = statuses[-1]
    assert status == 503
    assert "the file of votes failed (database or disk is full)" in said["error"]
    assert call(address, path="/api/questions?annotator=ann")[0] == 200
    store._db.execute("PRAGMA max_page_count = 100000")
    assert post(address, vote())[0] == 200


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_how_to_go_on(data, store, vote, number):
    def vote_and_stop(address):
        while True:
            try:
                assert post(address.rstrip("/"), vote())[0] == 200
                break
            except ConnectionError:
                continue
        os.kill(os.getpid(), number)

    def ready(address):
        threading.Thread(target=vote_and_stop, args=(address,), daemon=True).start()

    with pytest.raises(Stopped, match=r"all votes are in .*votes.sqlite: run the same command again to go on"):
        serve(data, store, 0, ready=ready)
    assert len(store.votes()) == 1
