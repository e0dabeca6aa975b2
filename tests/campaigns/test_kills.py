"""36 commands killed (SIGKILL) at random moments, once to three times, and given again: the same files, bit by bit."""

from __future__ import annotations

import io
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Act, ChatServer
from killed import run
from PIL import Image
from small_study import MODEL

from headatlas.cogvsr import CogVSR

from .test_servers import CHAIN, question

CASES = 36
EVERY_TIME = 2

TIMED = ("timings.json", "report.html", "timings.png", "timings.svg")
"""Files that hold running times, and what is made of them: compared with what is made of them again."""

REPLY = "key, asked, prompt, content, finish, model, prompt_tokens, completion_tokens"
"""What a cache keeps of a reply, but for the time of its arrival."""

NAMES = ("decompose", "import", "study", "sweep", "capture", "study", "sweep", "decompose", "build")
"""What is killed, case by case; the quick ones first."""
SETTINGS = (
    "scorers=paper,ablation", "n_random=2", "n_bootstrap=100", "doses=2", "n_control_questions=8", "n_directions=2",
    "n_steer=1", "linear_null=5", "probe_null=1", "alphas=0.5", "n_examples=1", "twin=false",
)  # fmt: skip
STUDY = ("--n", "40", "--seed", "3", "--quick", *(word for one in SETTINGS for word in ("--set", one)))


@dataclass(frozen=True)
class Work:
    """A command, what it needs in its folder, and what it leaves there."""

    words: Callable[[Path], list[object]]
    prepare: Callable[[Path], None] = lambda folder: None


def left(folder: Path) -> dict[str, bytes]:
    """The files that a command leaves, but for running times and locks."""
    return {
        str(path.relative_to(folder)): without_times(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.name not in TIMED
    }


def without_times(path: Path) -> bytes:
    """The bytes of a file; of JSON and arrays without running times, what the last attempt alone paid, and their digests."""
    if path.parent.name == "stages" and path.suffix == ".json":
        marker = json.loads(path.read_bytes())
        made = {"files": sorted(marker["files"]), "resumed": None}
        if path.stem == "report":  # its page shows running times
            made["outputs"] = None
        return json.dumps(untimed(marker) | made).encode()
    if path.suffix == ".json":
        return json.dumps(untimed(json.loads(path.read_bytes()))).encode()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return b"".join(key.encode() + arrays[key].tobytes() for key in arrays.files if key != "seconds")
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as db:
            return repr(sorted(db.execute(f"SELECT {REPLY} FROM replies"))).encode()
    return path.read_bytes()


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: untimed(one)
            for key, one in value.items()
            if key not in ("seconds", "seal", "this_run") and not key.endswith(".npz")
        }
    return [untimed(one) for one in value] if isinstance(value, list) else value


def pages(folder: Path) -> dict[str, bytes]:
    """The pages and charts of a run, those with running times too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "report.html", *sorted(folder.glob("charts/*")))
    }


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(60):
        buffer = io.BytesIO()
        Image.effect_noise((48, 48), 20 + i).save(buffer, format="PNG")
        (folder / f"{i}.png").write_bytes(buffer.getvalue())
        rows.append({"id": f"q{i}", "image": f"{i}.png", "question": "Is it red?", "answer": "no"})
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def _bounded_memory() -> None:
    """No bound here: the renderer of charts (V8) reserves more address space than it uses."""


@pytest.fixture(scope="module")
def server():
    """A model that answers after a moment."""
    with ChatServer(lambda body, n: Act(json.dumps({"steps": CHAIN}), after=0.05)) as server:
        yield server


@pytest.fixture(scope="module")
def works(server, tmp_path_factory) -> dict[str, Work]:
    """What is killed, by name."""
    shared = tmp_path_factory.mktemp("shared")
    CogVSR.from_questions([question(i) for i in range(12)], shared / "single")
    pictures(shared / "own")

    def studied(folder: Path) -> None:
        if not (shared / "study").exists():
            assert run(["study", MODEL, "--out", shared / "study", *STUDY])[0] == 0
        shutil.copytree(shared / "study", folder / "run")

    model = ("--model", "m", "--base-url", server.url, "--no-verify", "--concurrency", "2")
    return {
        "study": Work(lambda folder: ["study", MODEL, "--out", folder / "run", *STUDY]),
        "sweep": Work(lambda folder: ["sweep", "heads", "--out", folder / "run"], studied),
        "decompose": Work(lambda folder: ["data", "decompose", shared / "single", "--out", folder / "out", *model]),
        "import": Work(lambda folder: ["data", "from", shared / "own" / "own.jsonl", "--out", folder / "out"]),
        "build": Work(lambda folder: ["data", "build", "scenes", "--n", "40", "--out", folder / "out"]),
        "capture": Work(lambda folder: ["capture", "--model", MODEL, "--out", folder / "run", *STUDY]),
    }


@pytest.fixture(scope="module")
def whole(works, tmp_path_factory) -> dict[str, tuple[dict[str, bytes], float]]:
    """What each command leaves when nothing stops it, and the seconds it takes; filled on first use."""
    return {}


@pytest.mark.timeout(600)
def test_a_killed_command_given_again_ends_with_the_same_files(case, works, whole, server, tmp_path, tmp_path_factory):
    rng = random.Random(case)
    name = NAMES[case % len(NAMES)]
    work = works[name]
    if name not in whole:
        folder = tmp_path_factory.mktemp(name)
        work.prepare(folder)
        code, seconds = run(work.words(folder))
        assert code == 0
        whole[name] = left(folder), seconds
    expected, seconds = whole[name]
    work.prepare(tmp_path)
    paid = len(server.paid)
    for _ in range(rng.choice((1, 1, 2, 3))):
        run(work.words(tmp_path), kill_after=rng.uniform(0, 0.95 * seconds))
    assert run(work.words(tmp_path))[0] == 0
    found = left(tmp_path)
    assert sorted(found) == sorted(expected), "other files"
    assert [path for path in found if found[path] != expected[path]] == []
    if name == "study":
        before = pages(tmp_path / "run")
        assert (
            run(["report", "--out", tmp_path / "run"])[0] == 0
        )  # in another process: ids in charts are counted in each
        assert pages(tmp_path / "run") == before, "a page is not what the results give"
    if name == "decompose":
        assert len(server.paid) - paid <= 12 + 2 * 3, "replies that arrived are paid for again"
