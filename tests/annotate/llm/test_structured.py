import asyncio
import json
from typing import Literal

import pytest
from chat_server import Act, ChatServer
from pydantic import BaseModel

from headatlas.annotate.llm import LLM, Endpoint, EndpointDown, Message, Request, Unusable, ask_for, run
from headatlas.annotate.llm.structured import read_record, strict_schema


class Inner(BaseModel):
    """A docstring is for readers of the code, not for the model."""

    kind: Literal["a", "b"]
    title: str = "none"


class Form(BaseModel):
    answer: str
    inner: list[Inner] = []


GOOD = '{"answer": "left", "inner": [{"kind": "a"}]}'
DRAFT = '{"answer": "right", "inner": []}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n{GOOD}\nAnything else?",
        f"<think>maybe {{x}} or [1, 2]?</think>{GOOD}",
        f"Let me think about {{this}} first. {GOOD}",
        f'{{"note": "not this one"}} {GOOD}',
        f"{GOOD}\n\nTo repeat: {GOOD}",
        f"[THINK]maybe {DRAFT}[/THINK]{GOOD}",
        f"<thinking>maybe {DRAFT}</thinking>\n```json\n{GOOD}\n```",
        f"<reasoning>{DRAFT}</reasoning>{GOOD}",
        f"maybe {DRAFT}</think>{GOOD}",
        f"\u25c1think\u25b7maybe {DRAFT}\u25c1/think\u25b7{GOOD}",
        f"<|channel|>analysis<|message|>maybe {DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
    ],
)
def test_the_record_is_found_in_what_models_say(text):
    value, problem = read_record(text, Form)
    assert value == Form(answer="left", inner=[Inner(kind="a")])
    assert problem == ""


def test_half_a_surrogate_pair_becomes_what_a_file_takes():
    value, _ = read_record(json.dumps({"answer": "a\ud800b", "inner": []}), Form)
    assert value.answer == "a?b"
    value, _ = read_record(json.dumps({"answer": "\U0001f642", "inner": []}), Form)
    assert value.answer == "\U0001f642"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON object"),
        ("left", "no JSON object"),
        (GOOD[:-10], "broken or cut short"),
        ('{"inner": []}', "answer: Field required"),
        ('{"answer": "x", "inner": [{"kind": "c"}]}', "inner.0.kind"),
        (f"<think>first {DRAFT} but no, the other", "thoughts only"),
        (f"<|channel|>analysis<|message|>maybe {DRAFT}", "thoughts only"),
        (f"{DRAFT} No, wait: {GOOD}", "several JSON objects that differ"),
        ("x" * 1_000_001, "more than 1,000,000 characters"),
        ("[" * 200_000, "broken or cut short"),
        ('{"a":' * 100_000, "broken or cut short"),
    ],
    ids=[
        "empty",
        "words",
        "half",
        "missing",
        "literal",
        "thought",
        "channel",
        "two",
        "long",
        "deep-list",
        "deep-object",
    ],
)
def test_what_is_wrong_is_said_in_words(text, said):
    value, problem = read_record(text, Form)
    assert value is None
    assert said in problem


def test_the_schema_is_strict_all_the_way_down():
    schema = strict_schema(Form)
    assert schema["required"] == ["answer", "inner"]
    assert schema["additionalProperties"] is False
    inner = schema["$defs"]["Inner"]
    assert inner["required"] == ["kind", "title"]
    assert inner["properties"]["title"] == {"type": "string"}  # a field called title is no annotation
    assert "default" not in json.dumps(schema)
    assert "description" not in json.dumps(schema)


def ask(server, check=None, tries=3):
    async def go():
        async with LLM(Endpoint("m", server.url, timeout=5.0), pause=0.01) as llm:
            return await ask_for(llm, Request((Message("user", "q"),), "p.v1"), Form, check, tries)

    return run(go)


def test_wrong_replies_are_asked_again_with_what_was_wrong():
    replies = ["nonsense", Act(GOOD[:20], finish="length"), '{"answer": "up"}', GOOD]

    async def check(form):
        return [] if form.answer == "left" else ["not up"]

    with ChatServer(lambda b, n: replies[n]) as server:
        answered = ask(server, check, tries=4)
        assert (answered.value.answer, answered.tries, answered.model) == ("left", 4, "m")
        last = server.bodies[-1]["messages"]
        assert [m["role"] for m in last] == ["user"] + ["assistant", "user"] * 3
        assert last[1]["content"] == "nonsense"
        assert "no JSON object" in last[2]["content"]
        assert "cut short" in last[4]["content"]
        assert "not up" in last[6]["content"]
        assert server.bodies[0]["response_format"]["json_schema"]["schema"] == strict_schema(Form)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "content_filter", "SAFETY"])
def test_a_reply_that_was_cut_short_is_no_record(finish):
    with ChatServer(lambda b, n: Act(DRAFT, finish=finish) if n == 0 else GOOD) as server:
        answered = ask(server)
        assert (answered.value.answer, answered.tries) == ("left", 2)


def test_after_all_tries_every_reason_is_told():
    async def check(form):
        return ["first fault", "second fault"]

    with ChatServer(lambda b, n: GOOD if n else "nothing") as server, pytest.raises(Unusable) as told:
        ask(server, check, tries=2)
    assert told.value.reasons == ["it has no JSON object", "first fault; second fault"]
    assert told.value.last == Form(answer="left", inner=[Inner(kind="a")])


def test_a_check_that_cannot_be_made_is_no_fault_of_the_reply():
    async def check(form):
        await asyncio.sleep(0)
        raise EndpointDown("the verifier is gone")

    with ChatServer(lambda b, n: GOOD) as server:
        with pytest.raises(EndpointDown, match="verifier is gone"):
            ask(server, check)
        assert len(server.bodies) == 1
