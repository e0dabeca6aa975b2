"""Answers under many conditions, and evaluations, on several workers: questions x conditions cut into shards.

Knows groups of conditions, the batches that one machine would make, and workers; knows nothing of which heads are worth
editing. A shard is a few whole batches of one window of questions under one group of conditions: the same batches under the same
groups as on one machine, so the same numbers. Its result is a file of its own in the store, written by the worker; a killed sweep
goes on from these.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from headatlas.cluster import Shard, Shared, Workers
from headatlas.cogvsr.schema import Question
from headatlas.engine import Sweep, sweep
from headatlas.engine.edits import Edits
from headatlas.errors import HeadAtlasError
from headatlas.intervention.together import WINDOW, tables
from headatlas.storage import Folder
from headatlas.vlm.chat import Arm, Conversation, conversations
from headatlas.vlm.data import Questions, windows
from headatlas.vlm.evaluate import evaluate, table
from headatlas.vlm.model import VLM
from headatlas.vlm.read import by_length
from headatlas.vlm.vision import VisionMemo

BATCHES = 4
"""Batches of a shard: each shard takes up the bare pass once for checking, so a few of them together cost less."""

_SEEN: WeakKeyDictionary[VLM, VisionMemo] = WeakKeyDictionary()
"""Image features that a worker keeps from shard to shard."""


@dataclass(frozen=True, eq=False)
class Group:
    """Conditions that share their bare passes: edits of each, scope and arm; `key` names all that decides their answers,
    `content` what is shown alone."""

    key: str
    content: str
    edits: Sequence[Edits]
    scope: str
    arm: Arm | None = None


@dataclass(frozen=True)
class Window:
    """Questions `start`.. of a dataset, without images, and which of them make up each run of batches."""

    questions: list[Question]
    runs: list[list[int]]


def answers_spread(
    workers: Workers,
    vlm: VLM,
    data: Questions,
    groups: Sequence[Group],
    batch_size: int = 32,
    store: Folder | None = None,
) -> Iterator[tuple[int, list[pd.DataFrame]]]:
    """As `answers_together` for each group; gives the group's number and one answers table a condition as groups are done.

    Args:
        workers: where shards run.
        vlm: the model; workers load it by its name.
        data: the questions.
        groups: run one after the other, so that the first is done first.
        batch_size: conversations a batch.
        store: where workers leave their shards, seen by all machines; None: results travel to this process and a killed
            sweep starts its groups again.
    """
    plans: dict[int, list[Window]] = {}
    left: dict[int, int] = {}
    found: dict[int, dict[tuple[int, int], Sweep]] = {g: {} for g in range(len(groups))}
    where: list[tuple[int, int, int, str]] = []  # of each shard: group, window, run, file
    ready: list[int] = []
    held: dict[tuple[int, int], list[Conversation]] = {}

    def plan(arm: Arm | None) -> list[Window]:
        if id(arm) not in plans:
            plans[id(arm)] = [_plan(window, arm, batch_size) for window in windows(data, WINDOW)]
        return plans[id(arm)]

    def shards() -> Iterator[Shard]:
        for g, group in enumerate(groups):
            cut = plan(group.arm)
            left[g] = sum(len(window.runs) for window in cut)
            edits = _same_tensors(group.edits)
            for w, window in enumerate(cut):
                for r, rows in enumerate(window.runs):
                    file = f"shards/{group.key}-{batch_size}-{w}-{r}.npz"
                    where.append((g, w, r, file))
                    if store is not None and store.has(file):
                        take(len(where) - 1, None)
                        continue
                    args = (
                        _of_rows(edits, rows),
                        group.scope,
                        batch_size,
                        None if store is None else store.full,
                        file,
                    )
                    shown = Shared(f"{group.content}-{batch_size}-{w}-{r}", _chats(data, group.arm, w, rows, held))
                    yield Shard(len(where) - 1, args, (shown,))

    def take(number: int, result: bytes | None) -> None:
        g, w, r, file = where[number]
        if result is None:
            assert store is not None
            try:
                result = store.read(file)
            except FileNotFoundError:
                raise HeadAtlasError(
                    f"a worker wrote {file} to {str(store)!r}, but it is not there for this machine: expected a folder that all "
                    "machines share, or an address such as s3://bucket/run"
                ) from None
        found[g][w, r] = unpacked(result)
        left[g] -= 1
        if not left[g]:
            ready.append(g)

    def finished() -> Iterator[tuple[int, list[pd.DataFrame]]]:
        while ready:
            g = ready.pop(0)
            yield g, _joined(plan(groups[g].arm), found.pop(g))
            for _, _, _, file in [place for place in where if place[0] == g]:
                if store is not None:
                    store.remove(file)

    for number, result in workers.run(vlm, sweep_shard, shards()):
        take(number, result)
        yield from finished()
    yield from finished()


def sweep_shard(
    vlm: VLM,
    chats: list[Conversation],
    conditions: Sequence[Edits],
    scope: str,
    batch_size: int,
    where: str | None,
    file: str,
) -> bytes | None:
    """Sweep a few batches under a group of conditions; the result goes to `file` in the folder `where`, or is given."""
    if vlm not in _SEEN:
        _SEEN[vlm] = VisionMemo(vlm)
    with _SEEN[vlm].installed():
        made = packed(sweep(vlm, chats, conditions, scope, batch_size))
    if where is None:
        return made
    Folder.of(where).write(file, made)
    return None


def evaluate_spread(
    workers: Workers,
    vlm: VLM,
    questions: Questions,
    mode: str = "forced",
    context: str = "gold",
    batch_size: int = 32,
    arm: Arm | None = None,
) -> pd.DataFrame:
    """As `vlm.evaluate` under the model's active edits, a window of questions a shard."""
    # Mistakes in the arguments are told by the function that knows them, before anything is sent.
    if mode != "forced" or context != "gold" or not len(questions):
        _check(vlm, questions, mode, context)
    size = 16 * batch_size
    shards = (
        Shard(
            w, ([q.model_copy(update={"images": ()}) for q in window], _shown(window, arm), mode, context, batch_size)
        )
        for w, window in enumerate(windows(questions, size))
    )
    parts = sorted(workers.run(vlm, evaluate_window, shards), key=lambda part: part[0])
    return table([record for _, records in parts for record in records])


def evaluate_window(
    vlm: VLM, questions: list[Question], shown: dict[str, Any], mode: str, context: str, batch_size: int
) -> list[dict[str, Any]]:
    """Rows of the answers table of one window; `shown` says by question id what is shown and said before."""
    if vlm not in _SEEN:
        _SEEN[vlm] = VisionMemo(vlm)
    with _SEEN[vlm].installed():
        made = evaluate(vlm, questions, mode, context, batch_size, arm=lambda question: shown[question.id])
    plain = made.astype(object)
    return [
        {str(name): None if value is None or value != value else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _check(vlm: VLM, questions: Questions, mode: str, context: str) -> None:
    if mode not in ("forced", "generate") or context not in ("gold", "own") or (context, mode) == ("own", "forced"):
        evaluate(vlm, questions, mode, context)
    if not len(questions):
        raise HeadAtlasError("expected at least one question to evaluate, came an empty dataset")


def _shown(window: Sequence[Question], arm: Arm | None) -> dict[str, Any]:
    return {question.id: (question.images, "") if arm is None else arm(question) for question in window}


def _plan(window: Sequence[Question], arm: Arm | None, batch_size: int) -> Window:
    """Cut a window into runs of whole batches; rows of a run in ascending order, so that a worker makes the same batches."""
    batches = by_length(conversations(window, arm), batch_size)
    runs = [sorted(row for batch in batches[i : i + BATCHES] for row in batch) for i in range(0, len(batches), BATCHES)]
    return Window([question.model_copy(update={"images": ()}) for question in window], runs)


def _chats(
    data: Questions, arm: Arm | None, window: int, rows: list[int], held: dict[tuple[int, int], list[Conversation]]
) -> Any:
    """A function that makes the conversations of a run, when a worker needs them; those of one window are held."""

    def make() -> list[Conversation]:
        key = id(arm), window
        if key not in held:
            held.clear()
            held[key] = conversations(next(windows(data, WINDOW, skip=window)), arm)
        return [held[key][row] for row in rows]

    return make


def _same_tensors(conditions: Sequence[Edits]) -> list[list[Any]]:
    """The same edits, with tensors of the same memory as one object, which then travels once."""
    known: dict[tuple[Any, ...], Any] = {}

    def same(edit: Any) -> Any:
        if edit.shift is None:
            return edit
        key = (edit.shift.data_ptr(), tuple(edit.shift.shape), edit.shift.stride(), edit.shift.dtype)
        return replace(edit, shift=known.setdefault(key, edit.shift))

    return [[same(edit) for edit in edits] for edits in conditions]


def _of_rows(conditions: list[list[Any]], rows: list[int]) -> list[list[Any]]:
    """Edits with a value for each conversation of the window, for some conversations of it."""
    return [
        [edit if edit.rows is None else replace(edit, shift=edit.shift[rows]) for edit in edits] for edits in conditions
    ]


def _joined(plan: list[Window], found: dict[tuple[int, int], Sweep]) -> list[pd.DataFrame]:
    """One answers table a condition of all shards of a group."""
    parts: list[list[pd.DataFrame]] = []
    for w, window in enumerate(plan):
        whole = joined(
            [(rows, found[w, r]) for r, rows in enumerate(window.runs)], [len(q.steps) for q in window.questions]
        )
        parts.append(tables(window.questions, whole))
    return [made[0] if len(made) == 1 else pd.concat(made, ignore_index=True) for made in zip(*parts, strict=True)]


def joined(parts: Sequence[tuple[list[int], Sweep]], turns: Sequence[int]) -> Sweep:
    """One sweep over all conversations from sweeps over some, each with the numbers of its conversations."""
    starts = np.concatenate([[0], np.cumsum(turns)]).astype(int)
    n, groups = int(starts[-1]), len(parts[0][1].text)
    logprob, exact = np.zeros((groups + 1, n)), np.zeros((groups + 1, n), bool)
    text = [[""] * n for _ in range(groups + 1)]
    for rows, part in parts:
        place = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
        logprob[:-1, place], exact[:-1, place] = part.logprob, part.exact
        logprob[-1, place], exact[-1, place] = part.bare[0], part.bare[1]
        for whole, some in zip(text, [*part.text, part.bare[2]], strict=True):
            for at, said in zip(place.tolist(), some, strict=True):
                whole[at] = said
    how = sorted({(part.how, part.reason) for _, part in parts}, key=lambda told: told[0] == "rerun")[-1]
    bare = (logprob[-1], exact[-1], text[-1])
    return Sweep(logprob[:-1], exact[:-1], text[:-1], bare, tuple(int(turn) for turn in turns), *how)


def packed(found: Sweep) -> bytes:
    """A sweep as the bytes of an .npz."""
    out = io.BytesIO()
    text = np.array([*found.text, found.bare[2]], dtype=np.str_)
    told = np.array([found.how, found.reason])
    np.savez_compressed(
        out, logprob=np.vstack([found.logprob, found.bare[0]]), exact=np.vstack([found.exact, found.bare[1]]),
        text=np.char.encode(text, "utf-8"), turns=np.array(found.turns), told=told,
    )  # fmt: skip
    return out.getvalue()


def unpacked(data: bytes) -> Sweep:
    """What `packed` gave."""
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        text = np.char.decode(kept["text"], "utf-8").tolist()
        logprob, exact, (how, reason) = kept["logprob"], kept["exact"], kept["told"].tolist()
        turns = tuple(kept["turns"].tolist())
    return Sweep(logprob[:-1], exact[:-1], text[:-1], (logprob[-1], exact[-1], text[-1]), turns, how, reason)
