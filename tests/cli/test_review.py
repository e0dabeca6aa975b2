import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import httpx
import pytest
from command_line import headatlas
from PIL import Image

from headatlas.cogvsr import CogVSR, Question, Step, load
from headatlas.errors import HeadAtlasError


def run(command, *arguments):
    return headatlas("data", command, *arguments)


@pytest.fixture
def folder(tmp_path):
    steps = tuple(
        Step(text=text, answer="yes", answer_type="yes_no", functions=("decision_making",))
        for text in ("Is it red?", "So?")
    )
    question = Question(id="q", source="s", split="E", text="Is it?", answer="yes", answer_type="yes_no", steps=steps,
                        images=(Image.new("RGB", (4, 4)),))  # fmt: skip
    CogVSR.from_questions([question], tmp_path / "data")
    return tmp_path / "data"


def test_serve_vote_stop_agree_export(folder, tmp_path):
    db, out = tmp_path / "votes.sqlite", tmp_path / "final"
    child = subprocess.Popen(
        [sys.executable, "-m", "headatlas", "data", "review", str(folder), "--db", str(db), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert child.stdout is not None
        address = re.search(r"(http://127\.0\.0\.1:\d+)/", child.stdout.readline())[1]  # type: ignore[index]
        with httpx.Client(base_url=address, headers={"origin": address}, timeout=20, trust_env=False) as client:
            for name in ("ann", "bob"):
                for step, verdict, functions in ((0, "reject", []), (1, "accept", ["math_reasoning"])):
                    vote = {"id": uuid.uuid4().hex, "question": "q", "step": step, "annotator": name}
                    reply = client.post("/api/vote", json={**vote, "verdict": verdict, "functions": functions})
                    assert reply.status_code == 200
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
        assert child.wait(60) == 0
        assert f"all votes are in {db}" in rest
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    time.sleep(0.05)
    told = json.loads(run("review-agreement", folder, "--db", db, "--json").stdout)
    assert told["annotators"] == ["ann", "bob"]
    assert told["rows"][0]["agreement"] == 1.0
    assert "Krippendorff" in run("review-agreement", folder, "--db", db).stdout
    facts = json.loads(run("review-export", folder, "--db", db, "--out", out, "--json").stdout)
    assert (facts["questions"], facts["steps"], facts["changed"]) == (1, 1, 1)
    assert [s.functions for s in load(out)[0].steps] == [("math_reasoning",)]
    assert "1 questions with 1 steps" in run("review-export", folder, "--db", db, "--out", out).stdout


def test_mistakes_are_one_line(folder, tmp_path):
    with pytest.raises(HeadAtlasError, match="no such file of votes"):
        run("review-agreement", folder, "--db", tmp_path / "nowhere.sqlite")
    with pytest.raises(HeadAtlasError, match="no such dataset"):
        run("review", tmp_path / "nowhere")
