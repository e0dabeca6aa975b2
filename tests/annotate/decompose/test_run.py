import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from chat_server import Act, ChatServer, error

from headatlas.annotate.decompose import Rules, decompose
from headatlas.annotate.llm import Endpoint, EndpointDown, Prices, ReplyCache, Stopped
from headatlas.cogvsr import CogVSR, load
from headatlas.errors import HeadAtlasError


def go(data, server, out, **options):
    options = {"verify": False, **options}
    endpoint = Endpoint(
        "m", server.url, timeout=5.0, tries=options.pop("tries", 3), concurrency=4, prices=Prices(1.0, 10.0)
    )
    return decompose(data, endpoint, out, pause=0.01, **options)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_dataset_is_decomposed_verified_and_told(data, models, tmp_path):
    model = models()
    with ChatServer(model) as server:
        outcome = go(data, server, tmp_path / "out", verify=True)
        assert outcome.report()["decomposed"] == 6
        made = load(tmp_path / "out")
        assert made.ids == data.ids
        for before, after in zip(data, made, strict=True):
            assert [s.answer for s in after.steps] == ["dog and cat", "2", "4", "yes"]
            assert after.steps[-1].functions == ("decision_making", "relational_reasoning")
            assert after.steps[0].needs_image is False
            assert after.model_copy(update={"steps": before.steps, "images": ()}) == before.model_copy(
                update={"images": ()}
            )
            assert after.images[0].tobytes() == before.images[0].tobytes()
        # one draft a question; every step answered blind once.
        assert len(server.bodies) == 6 * (1 + 4)
        assert outcome.totals["m"] == {"calls": 30, "prompt_tokens": 3000, "completion_tokens": 300}
        assert outcome.cost == pytest.approx(3000 / 1e6 + 300 * 10 / 1e6)
        # The verifier sees what comes before a step, and nothing of it or after it.
        seen = [
            b["messages"][1]["content"][-1]["text"] for b in server.bodies if "one step" in b["messages"][0]["content"]
        ]
        third = next(
            json.loads(text) for text in seen if "which column is the cat" in json.loads(text)["step to answer"]
        )
        assert [s["answer"] for s in third["steps before"]] == ["dog and cat", "2"]
        assert "4" not in json.dumps(third).replace("cat 4", "")
    told = lines(tmp_path / "out.decompose" / "steps.jsonl")
    assert len(told) == 24
    assert (told[0]["written_by"], told[0]["verified_by"], told[0]["drafts"]) == ("m", "m", 1)
    assert told[0]["prompt"].startswith("decompose.v1-")


def test_a_second_run_pays_nothing(data, models, tmp_path):
    with ChatServer(models()) as server:
        go(data, server, tmp_path / "out", verify=True)
        calls = len(server.bodies)
        again = go(data, server, tmp_path / "out", verify=True)
        assert len(server.bodies) == calls
        assert again.usage["m"].calls == 0
        assert again.usage["m"].cached == calls
        assert again.report()["decomposed"] == 6
        go(data, server, tmp_path / "out", verify=True, rules=Rules(round=1))
        assert len(server.bodies) == 2 * calls


def test_bad_drafts_are_asked_again_and_after_three_listed(data, models, good_chain, tmp_path):
    leak = [*good_chain[:1], {**good_chain[1], "question": "As the answer is yes, where is the dog?"}, good_chain[-1]]
    wrong_end = [*good_chain[:3], {**good_chain[3], "answer": "no"}]
    drafts = {
        "Is the dog left of cat 1?": ["I cannot.", good_chain],
        "Is the dog left of cat 2?": [json.dumps({"steps": good_chain})[:100], leak, good_chain],
        "Is the dog left of cat 3?": [wrong_end],
        "Is the dog left of cat 4?": [Act("", finish="content_filter")],
    }
    with ChatServer(models(drafts)) as server:
        outcome = go(data, server, tmp_path / "out")
    assert load(tmp_path / "out").ids == ("q0", "q1", "q2", "q5")
    assert {name: chain.tries for name, chain in outcome.chains.items()} == {"q0": 1, "q1": 2, "q2": 3, "q5": 1}
    failed = lines(tmp_path / "out.decompose" / "failures.jsonl")
    assert [f["question"] for f in failed] == ["q3", "q4"]
    assert len(failed[0]["reasons"]) == 3
    assert "must be the main question's answer 'yes', got 'no'" in failed[0]["reasons"][0]
    assert len(failed[0]["steps"]) == 3  # the draft is not lost: people can mend it
    assert "filter" in failed[1]["reasons"][-1]


def test_a_server_that_misbehaves_all_the_time_is_waited_out(data, models, tmp_path):
    model, turn = models(), iter(range(10**6))
    bad = [
        error(429, "wait", **{"retry-after": "0.02"}),
        error(500, "x"),
        Act(drop=True),
        Act("cut", cut=True),
        Act(body="<html>"),
    ]

    def script(body, n):
        i = next(turn)
        return bad[(i // 2) % len(bad)] if i % 2 else model(body, n)

    with ChatServer(script) as server:
        outcome = go(data, server, tmp_path / "out", verify=True, tries=8)
        assert outcome.report()["decomposed"] == 6
        assert outcome.usage["m"].retries > 5
        assert len(set(server.paid)) == len(server.paid) == 30


def test_a_question_that_gets_no_reply_or_has_no_image_is_listed(data, models, tmp_path):
    model = models()
    folder = tmp_path / "data"
    data.save(folder)
    rows = [json.loads(q.model_dump_json(exclude={"images"})) for q in data.without_images()]
    for i, row in enumerate(rows):
        path = tmp_path / f"{i}.png"
        data[i].images[0].save(path)
        row["images"] = [path.name]
    (tmp_path / "5.png").write_bytes(b"no image")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def script(body, n):
        return error(500, "always") if "cat 2" in body["messages"][1]["content"][-1]["text"] else model(body, n)

    with ChatServer(script) as server:
        outcome = go(load(tmp_path / "d.jsonl"), server, tmp_path / "out", tries=2)
    assert [f.question for f in outcome.failures] == ["q2", "q5"]
    assert "HTTP 500 always" in outcome.failures[0].reasons[0]
    assert "image 0 cannot be read" in outcome.failures[1].reasons[0]
    assert len(load(tmp_path / "out")) == 4


def test_the_verifier_may_be_another_model_and_its_doubts_count(data, models, tmp_path):
    writer = models()
    verifier = models(
        blind={"In which column is the dog?": "3", "Which animals does the question name?": "a cat and a dog"}
    )
    blind_none = models(blind={"So what is the answer?": None})
    with ChatServer(writer) as one, ChatServer(verifier) as two, ChatServer(blind_none) as three:
        small = data.select(["q0"])
        for checker, said in ((two, "who did not see your answer '2' answered '3'"), (three, "cannot be answered")):
            with pytest.raises(HeadAtlasError, match=said):
                go(small, one, tmp_path / f"out {said[:6]}", verify=True, verifier=Endpoint("v", checker.url))
        assert not any(kind == "draft" for kind, _ in verifier.asked)
        assert ("judge", "a cat and a dog") in verifier.asked  # words that rules do not match are judged
        # The doubt is told to the writer.
        assert any("did not see your answer" in m["content"] for b in one.bodies for m in b["messages"] if m["role"] == "user"
                   and isinstance(m["content"], str))  # fmt: skip


def test_questions_with_steps_keep_them(data, models, many_steps, tmp_path):
    mixed = CogVSR.from_questions([*data, many_steps])
    with ChatServer(models()) as server:
        outcome = go(mixed, server, tmp_path / "out", limit=None)
        assert outcome.kept == ("many",)
        assert load(tmp_path / "out").ids[-1] == "many"
        assert next(q for q in load(tmp_path / "out").without_images() if q.id == "many").steps == many_steps.steps
        with pytest.raises(HeadAtlasError, match="several steps already"):
            go(mixed.select(["many"]), server, tmp_path / "o2")
        assert go(mixed.select(["many"]), server, tmp_path / "o2", everything=True).report()["decomposed"] == 1
        assert go(mixed, server, tmp_path / "o3", limit=2).report()["decomposed"] == 2


def test_a_refused_key_ends_the_run_and_what_was_paid_is_kept(data, models, tmp_path):
    model = models()
    with (
        ChatServer(lambda b, n: model(b, n) if n < 3 else error(401, "key expired")) as server,
        pytest.raises(EndpointDown),
    ):
        go(data, server, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with ChatServer(model) as server:
        go(data, server, tmp_path / "out")
        assert len(server.bodies) == 3


KILLED = """
import sys
from headatlas.cogvsr import load
from headatlas.annotate.decompose import decompose
from headatlas.annotate.llm import Endpoint
decompose(load(sys.argv[1]), Endpoint("m", sys.argv[2], timeout=60.0, concurrency=4), sys.argv[3])
"""


def test_killed_midway_and_run_again_no_call_is_paid_twice_and_no_step_lost(data, models, tmp_path):
    data.save(tmp_path / "data")
    model, stopped, release = models(), 13, threading.Event()

    def script(body, n):
        if n >= stopped and not release.is_set():
            release.wait(60)
            return Act(drop=True)
        return model(body, n)

    cache = tmp_path / "out.decompose" / "replies.sqlite"
    with ChatServer(script) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "data"), server.url, str(tmp_path / "out")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            deadline = time.monotonic() + 120
            while not (cache.exists() and _rows(cache) == stopped):
                assert time.monotonic() < deadline, "the run did not come that far"
                assert child.poll() is None
                time.sleep(0.05)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert not (tmp_path / "out").exists()
        release.set()
        endpoint = Endpoint("m", server.url, timeout=60.0, concurrency=4)
        outcome = decompose(load(tmp_path / "data"), endpoint, tmp_path / "out")
        assert outcome.usage["m"].calls == 30 - stopped
        assert len(server.paid) == len(set(server.paid)) == 30
    with ChatServer(models()) as server:
        go(data, server, tmp_path / "whole", verify=True)
    assert load(tmp_path / "out").fingerprint == load(tmp_path / "whole").fingerprint


def _rows(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        db.close()


KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH"


def test_no_part_of_the_key_is_in_anything_that_is_written(data, models, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model = models()

    def script(body, n):
        which = n % 7
        if which == 0:
            return Act(body=f"{KEY} is not JSON")
        if which == 1:
            return error(400, f"bad key {KEY} {KEY[:35]}")
        if which == 2:
            return Act(body=json.dumps({"error": {"message": f"Bearer {KEY}", "code": 500}}), headers={"x-key": KEY})
        if which == 3:
            return f"the key is {KEY}"
        return model(body, n)

    with ChatServer(script) as server:
        outcome = go(data, server, tmp_path / "out", tries=1)
    assert outcome.failures
    assert outcome.chains
    written = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    for text in [*written, *capfd.readouterr(), repr(outcome)]:
        assert not [i for i in range(len(KEY) - 9) if KEY[i : i + 10] in text]


def test_a_second_process_on_the_same_folder_is_one_clear_line(data, models, tmp_path):
    with ChatServer(models()) as server:
        with (
            ReplyCache(tmp_path / "out.decompose" / "replies.sqlite"),
            pytest.raises(HeadAtlasError, match="another process"),
        ):
            go(data, server, tmp_path / "out")
        assert not server.bodies
        assert go(data, server, tmp_path / "out").report()["decomposed"] == 6


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_how_to_go_on(data, models, tmp_path, number):
    model, release = models(), threading.Event()

    def script(body, n):
        if n < 4 or release.is_set():
            return model(body, n)
        if n == 4:
            os.kill(os.getpid(), number)
        release.wait(60)
        return Act(drop=True)

    handler = signal.getsignal(signal.SIGTERM)
    with ChatServer(script) as server:
        with pytest.raises(Stopped) as stopped:
            go(data, server, tmp_path / "out")
        cache = tmp_path / "out.decompose" / "replies.sqlite"
        assert str(stopped.value) == (
            f"stopped; all replies so far are in {cache}: run the same command again to go on, nothing is paid for twice"
        )
        assert signal.getsignal(signal.SIGTERM) is handler
        release.set()
        paid = _rows(cache)
        assert paid >= 1
        assert not (tmp_path / "out").exists()
        assert go(data, server, tmp_path / "out").usage["m"].cached == paid
