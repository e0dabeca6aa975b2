import json

import pytest
from chat_server import Act, ChatServer, error

from headatlas.annotate.judge import judge_answers, read_answers
from headatlas.annotate.judge.ask import parser_verdict
from headatlas.annotate.judge.table import cases
from headatlas.annotate.llm import Endpoint, EndpointDown
from headatlas.cogvsr import CogVSR, Question, Step
from headatlas.errors import HeadAtlasError

CSV = """question,text,gold,answer_type,options,human
Where?,"To the left, I think",left,choice,left|right,correct
Is it?,NaN,yes,yes_no,,0
How many?,None,0,number,,True
What?,"a ""red"" car
on grass",red car,text,,unparsable
Where?,somewhere,left,choice,left|right,
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "answers.csv"
    file.write_text(CSV, encoding="utf-8")
    return file


def test_a_csv_is_read_as_it_is_written(path):
    table = read_answers(path)
    assert table["text"].tolist() == ["To the left, I think", "NaN", "None", 'a "red" car\non grass', "somewhere"]
    assert table["human"].tolist() == ["correct", "incorrect", "correct", "unparsable", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a readable CSV"),
        ("a,b\n1,2\n", "no column text and no column gold; it has a, b"),
        ("text,gold\n", "no answers"),
        ("text,gold,human\nx,y,maybe\n", "answer 1, human: must be correct, incorrect, unparsable"),
        ("text,gold,answer_type\nx,y,text\nx,y,essay\n", "answer 2, answer_type: must be yes_no"),
        ("text,gold\nx,\n", "answer 1, gold: must be an answer, got nothing"),
        ('text,gold\n"x,y\n', "not a readable CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told(tmp_path, text, said):
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(HeadAtlasError, match=said):
        read_answers(file)
    with pytest.raises(HeadAtlasError, match="not a readable CSV"):
        read_answers(tmp_path / "nowhere.csv")


def test_steps_are_looked_up_in_a_dataset(tmp_path):
    step = Step(
        text="Where is it?",
        answer="left",
        answer_type="choice",
        options=("left", "right"),
        functions=("decision_making",),
    )
    question = Question(id="q", source="s", split="E", text="Main?", answer="left", answer_type="choice", steps=(step,))
    data = CogVSR.from_questions([question])
    file = tmp_path / "a.csv"
    file.write_text("question,step,text,gold\nq,0,B,left\n")
    table = read_answers(file, data)
    assert (table["asked"][0], table["options"][0], table["answer_type"][0]) == (
        "Main?\nWhere is it?",
        "left|right",
        "choice",
    )
    file.write_text("question,step,text,gold\nq,7,B,left\n")
    with pytest.raises(HeadAtlasError, match="no step '7' of a question 'q'"):
        read_answers(file, data)
    file.write_text("question,text,gold\nq,B,left\n")
    with pytest.raises(HeadAtlasError, match="no column step"):
        read_answers(file, data)


def judge(body, n):
    told = json.loads(body["messages"][1]["content"])
    verdict = "unparsable" if told["given answer"] == "somewhere" else "correct"
    return json.dumps({"why": "because", "verdict": verdict})


def test_rows_are_judged_once_and_failures_are_listed(path, tmp_path):
    table, cache = read_answers(path), tmp_path / "c.sqlite"

    def script(body, n):
        return error(500, "no") if "NaN" in body["messages"][1]["content"] else judge(body, n)

    with ChatServer(script) as server:
        endpoint = Endpoint("j", server.url, timeout=5.0, tries=2)
        judged, usage = judge_answers(table, endpoint, cache, pause=0.01)
        assert judged["parser"].tolist() == ["correct", "unparsable", "correct", "correct", "unparsable"]
        assert judged["judge"].tolist() == ["correct", "", "correct", "correct", "unparsable"]
        assert judged["why"][1].startswith("not judged: no reply from j: HTTP 500")
        assert usage.calls == 4
        assert judge_answers(table, endpoint, cache, pause=0.01)[1].cached == 4
    with ChatServer(judge) as server:
        judged, usage = judge_answers(table, Endpoint("j", server.url), None, only_unparsable=True, pause=0.01)
        assert judged["judge"].tolist() == ["", "correct", "", "", "unparsable"]
        assert usage.calls == 2


def test_without_a_judge_only_the_parser_reads(path):
    judged, usage = judge_answers(read_answers(path), None)
    assert set(judged["judge"]) == {""}
    assert usage.calls == 0


def test_a_judge_that_is_not_there_is_told(path):
    with ChatServer(lambda b, n: Act(status=401, body="{}")) as server, pytest.raises(EndpointDown):
        judge_answers(read_answers(path), Endpoint("j", server.url), pause=0.01)


def test_an_option_may_hold_the_bar_that_joins_options(tmp_path):
    options = ("a|b", "c\\d", "e")
    step = Step(text="Which?", answer="a|b", answer_type="choice", options=options, functions=("decision_making",))
    question = Question(id="q", source="s", split="E", text="Which?", answer="a|b", answer_type="choice", steps=(step,))
    (tmp_path / "a.csv").write_text("question,step,text,gold\nq,0,(A),a|b\n")
    table = read_answers(tmp_path / "a.csv", CogVSR.from_questions([question]))
    assert cases(table)[0].options == options
    assert parser_verdict(cases(table)[0]) == "correct"
