import json

import pytest
from chat_server import ChatServer

from headatlas.annotate.judge import Case, judge_one, parser_verdict
from headatlas.annotate.judge.ask import PROMPT
from headatlas.annotate.llm import LLM, Endpoint, Unusable, run


def ask(server, *cases):
    async def go():
        async with LLM(Endpoint("judge", server.url, timeout=5.0), pause=0.01) as llm:
            return [(await judge_one(llm, case)).value for case in cases]

    return run(go)


def test_the_judge_sees_words_only_and_its_verdict_is_one_of_three():
    with ChatServer(lambda b, n: '{"why": "same", "verdict": "correct"}') as server:
        (verdict,) = ask(server, Case("left", "To the left", "Where is it?", "choice", ("left", "right")))
        assert verdict.verdict == "correct"
        system, user = server.bodies[0]["messages"]
        assert system["content"] == PROMPT.text
        assert json.loads(user["content"]) == {
            "question": "Where is it?",
            "options": ["left", "right"],
            "expected answer": "left",
            "given answer": "To the left",
        }
        assert server.bodies[0]["temperature"] == 0.0
        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["verdict"]["enum"] == ["correct", "incorrect", "unparsable"]


def test_nothing_said_is_unparsable_without_asking():
    with ChatServer(lambda b, n: "never") as server:
        assert [v.verdict for v in ask(server, Case("left", ""), Case("left", " ...\n"))] == ["unparsable"] * 2
        assert server.bodies == []


def test_thoughts_are_not_judged_and_of_a_long_answer_the_end_is_seen():
    seen = []

    def judge(body, n):
        seen.append(json.loads(body["messages"][1]["content"])["given answer"])
        return '{"why": "same", "verdict": "correct"}'

    with ChatServer(judge) as server:
        cut_off, after, long = ask(
            server,
            Case("left", "<think>left, or is it right"),
            Case("left", "<think>is it right?</think>It is left."),
            Case("left", "Let me see. " + "x " * 9000 + "So it is left."),
        )
    assert (cut_off.verdict, after.verdict, long.verdict) == ("unparsable", "correct", "correct")
    assert seen[0] == "It is left."
    assert len(seen[1]) < 8100
    assert seen[1].startswith("Let me see.")
    assert seen[1].endswith("So it is left.")


def test_no_verdict_after_three_replies_is_told():
    with ChatServer(lambda b, n: '{"why": "hm", "verdict": "partly"}') as server:
        with pytest.raises(Unusable, match="verdict"):
            ask(server, Case("left", "somewhere left"))
        assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (Case("yes", "Yes, it is.", answer_type="yes_no"), "correct"),
        (Case("yes", "I cannot tell.", answer_type="yes_no"), "unparsable"),
        (Case("yes", "No.", answer_type="yes_no"), "incorrect"),
        (Case("above", "on top of it", answer_type="choice", options=("above", "below")), "correct"),
        (Case("2", "two objects", answer_type="number"), "correct"),
    ],
)
def test_the_parsers_verdict(case, verdict):
    assert parser_verdict(case) == verdict
