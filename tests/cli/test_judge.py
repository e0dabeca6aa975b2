import json

import pandas as pd
import pytest
from chat_server import ChatServer
from command_line import headatlas

from headatlas.errors import HeadAtlasError


def run(*arguments):
    return headatlas("data", "judge", *arguments)


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(
        "text,gold,answer_type,human\nYes.,yes,yes_no,1\nNo.,yes,yes_no,0\nIt is so,yes,yes_no,1\nHm,yes,yes_no,unparsable\n"
    )
    return path


def test_judge_writes_verdicts_and_tells_the_agreement(answers, tmp_path):
    def judge(body, n):
        said = json.loads(body["messages"][1]["content"])["given answer"]
        verdict = {"No.": "incorrect", "Hm": "unparsable"}.get(said, "correct")
        return json.dumps({"why": "w", "verdict": verdict})

    with ChatServer(judge) as server:
        said = run(answers, "--model", "j", "--base-url", server.url)
        assert "human - judge" in said.stdout
        assert "4 calls, 0 retries" in said.stdout
        told = json.loads(run(answers, "--model", "j", "--base-url", server.url, "--json").stdout)
    assert (told["calls"], told["cached"]) == (0, 4)
    assert told["pairs"][0] == {**told["pairs"][0], "rater_a": "human", "rater_b": "judge", "n": 4, "kappa": 1.0}
    judged = pd.read_csv(tmp_path / "answers.judged.csv", keep_default_na=False)
    assert judged["judge"].tolist() == ["correct", "incorrect", "correct", "unparsable"]
    assert answers.read_text().startswith("text,gold")


def test_without_a_model_the_parser_alone_is_compared_with_people(answers, tmp_path):
    told = json.loads(run(answers, "--out", tmp_path / "o.csv", "--json").stdout)
    assert [(p["rater_a"], p["rater_b"]) for p in told["pairs"]] == [("human", "parser")]
    assert not (tmp_path / "o.replies.sqlite").exists()
    with pytest.raises(HeadAtlasError, match="would replace the answers"):
        run(answers, "--out", answers)
