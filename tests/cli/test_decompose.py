import json

import pytest
from chat_server import ChatServer
from command_line import headatlas
from PIL import Image

from headatlas.cogvsr import CogVSR, Question, Step, load
from headatlas.errors import HeadAtlasError


def run(*arguments):
    return headatlas("data", "decompose", *arguments)


def model(body, n):
    if body["messages"][0]["content"].startswith("You answer one step"):
        told = json.loads(body["messages"][1]["content"][-1]["text"])
        return json.dumps({"answerable": True, "answer": "left" if "Where" in told["step to answer"] else "yes"})
    first = {
        "question": "Where is the dog?",
        "answer": "left",
        "answer_type": "text",
        "functions": ["spatial_perception"],
    }
    last = {"question": "So?", "answer": "yes", "answer_type": "yes_no", "functions": ["decision_making"]}
    return json.dumps({"steps": [first, last]})


@pytest.fixture
def folder(tmp_path):
    step = Step(text="Is it?", answer="yes", answer_type="yes_no", functions=("relational_reasoning",))
    image = Image.new("RGB", (4, 4))
    CogVSR.from_questions(
        [
            Question(
                id=f"q{i}",
                source="s",
                split="E",
                text="Is it?",
                answer="yes",
                answer_type="yes_no",
                steps=(step,),
                images=(image,),
            )
            for i in range(2)
        ],
        tmp_path / "data",
    )
    return tmp_path / "data"


def test_decompose_tells_what_it_did_and_what_it_cost(folder, tmp_path):
    out = tmp_path / "out"
    with ChatServer(model) as server:
        common = (folder, "--out", out, "--model", "m", "--base-url", server.url, "--price-in", 1, "--price-out", 10)
        # Both questions are the same to a model: the second is answered from the cache.
        said = run(*common, "--concurrency", 1)
        assert "2 questions decomposed into 4 steps" in said.stdout
        assert "3 calls, 0 retries, 3 replies from the cache; in total 300 + 30 tokens, $0.0006" in said.stdout
        assert "decomposing 2/2" in said.stderr
        told = json.loads(run(*common, "--json").stdout)
        assert told["this_run"]["m"] == {
            "calls": 0,
            "cached": 6,
            "retries": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
        }
        assert told["cost_usd"] == pytest.approx(0.0006)
    assert len(load(out)[0].steps) == 2


def test_mistakes_are_one_line(folder, tmp_path):
    common = ("--out", tmp_path / "out", "--model", "m")
    with pytest.raises(HeadAtlasError, match="--price-in and --price-out .* must be given together"):
        run(folder, *common, "--price-in", 1)
    with pytest.raises(HeadAtlasError, match="base URL"):
        run(folder, *common, "--base-url", "localhost:8000")
    with pytest.raises(HeadAtlasError, match="no such dataset"):
        run(tmp_path / "nowhere", *common)
