"""76 misspelled commands, options, names and settings: one line that names the right one, before a model is loaded."""

from __future__ import annotations

import random
import re
import shlex
import socket

import pytest
from command_line import ended
from PIL import Image

from .conftest import one_line
from .damage import typo

CASES = 76
EVERY_TIME = 20

COMMANDS = """
<study> ref-llava --out r
study <ref-llava> --out r
study ref-llava <--out> r
study ref-llava <--preset> paper --out r
study ref-llava --preset <strict> --out r
study ref-llava <--quick> --out r
study ref-llava --data <scenes> --out r
study ref-llava --data <cogvsr-mini> --out r
study ref-llava --set <n_random>=20 --out r
study ref-llava --set scorers=<specificity>,linear --out r
study ref-llava --set scorers=linear,<ablation> --out r
study ref-llava --set selector=<functional> --out r
study ref-llava --set operation=<scale> --out r
study ref-llava --set tokens=<predict> --out r
study ref-llava --set methods=<steering> --out r
study ref-llava --set detector=<ground_truth> --out r
study ref-llava --set judged=<specificity> --out r
study ref-llava --set <alphas>=0.5,1 --out r
study ref-llava --set probe=<strict> --out r
study ref-llava <ref-gemma> --out r
study <models/mine> --out r
study ref-llava --data <data/own> --out r
<capture> --model ref-llava --out r
capture --model <ref-qwen> --out r
<score> --out r
score <--again> --out r
<select> --out r
<ablate> --out r --sweep heads
ablate --out r --sweep <heads>
ablate --out r --sweep heads --scope <answer>
<activate> --out r
activate --model ref-llava --methods <steering> --out r
<report> --out r
report --out <runs/one>
<compare> runs/one runs/one --out c
compare <runs/one> runs/two --out c
<sweep> pairs --out r
sweep <pairs> --out r
sweep heads <--scorer> paper --out r
<data> build scenes --out d
data <build> scenes --out d
data build <scenes> --out d
data build scenes <--splits> P --out d
data <import> vsr --from x --out d
data import <spatialeval> --from x --out d
data <importers>
data <from> own.jsonl --out d
data from <own.jsonl> --out d
data <validate> own.jsonl
data <stats> cogvsr-mini
data stats <cogvsr-mini>
data <decompose> cogvsr-mini --out d --model m
data decompose <cogvsr-mini> --out d --model m
data decompose cogvsr-mini <--verifier> x --out d --model m
data <judge> t.csv
data <review> cogvsr-mini
<models> list
models <show> ref-llava
models show <ref-llava>
models <check> llava
<reference> list
reference <train> ref-llava
<grade> --out g
grade --scorers <specificity> --out g
<explain> ref-llava a.png What?
explain <ref-gemma> a.png What?
explain ref-llava <a.png> What?
explain ref-llava a.png What? <--groups>
<answer> ref-llava a.png What?
answer <ref-internvl> a.png What?
<explore> ref-llava
explore <ref-llava> --export s
explore ref-llava <--export> s
explore ref-llava --data <cogvsr-mini>
explore ref-llava --run <runs/one>
explore ref-llava --recipe <runs/one>
""".strip().splitlines()
"""Command lines in which one word, in angle brackets, is to be misspelled."""

UNNAMED = ("own.jsonl", "a.png", "models/mine", "data/own", "runs/one")
"""Files and folders: what is missing is named, even where no near name is suggested."""


def misspelled(line: str, rng: random.Random) -> tuple[list[str], str, str]:
    """The words of a command line, the right word in it, and what stands in its place."""
    match = re.search("<(.+?)>", line)
    assert match is not None
    right = match[1]
    dashes = len(right) - len(right.lstrip("-"))
    path = right.rpartition("/")[0]
    body = right[dashes + len(path) :]
    wrong = right[: dashes + len(path)] + body[0] + typo(body[1:], rng)
    return shlex.split(line.replace(match[0], wrong)), right, wrong


@pytest.fixture
def nothing_loaded(monkeypatch):
    """No model is loaded and no address is asked."""

    def loaded(*args: object, **options: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("headatlas.vlm.load._model", loaded)
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: pytest.fail(f"asks {address}"))


def test_a_misspelled_word_is_one_line_and_leaves_nothing(case, tmp_path, monkeypatch, nothing_loaded):
    rng = random.Random(case)
    words, right, wrong = misspelled(COMMANDS[case % len(COMMANDS)], rng)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "own.jsonl").write_text('{"image": "a.png", "question": "Is it red?", "answer": "no"}\n')
    for folder in ("models/mine", "data/own", "runs/one"):
        (tmp_path / folder).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    code, errors = ended(*words)
    said = one_line(errors.strip())
    assert code == 2, said
    assert said.startswith("headatlas: ")
    assert wrong in said or wrong.lstrip("-") in said, said
    assert re.search(f"did you mean [^?]*{right!r}", said) or right in UNNAMED, f"{right!r} is not suggested: {said}"
    assert sorted(tmp_path.rglob("*")) == before


def test_every_command_line_is_right_but_for_the_word():
    """The commands and options in `COMMANDS` exist, so that it is the misspelled word that is refused."""
    from headatlas.cli.registry import found_commands

    names = {command.name for command in found_commands()}
    for line in COMMANDS:
        words = shlex.split(line.replace("<", "").replace(">", ""))
        assert words[0] in names or " ".join(words[:2]) in names, line
