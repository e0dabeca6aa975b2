"""Answers under many conditions, and evaluations, on several workers.

A shard is a few whole batches of one window of questions under one group of conditions. Batches and groups are those that one
machine would make, so the results are the same. A worker writes its result to its own file in the store, from which a sweep that
was killed continues.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas.cluster import Shard, Shared, Workers
from headatlas.cogvsr.schema import Question
from headatlas.engine import Sweep, sweep
from headatlas.engine.edits import Edits
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.intervention.batched_answers import WINDOW, ConditionAnswers, WindowAnswers
from headatlas.progress import Progress
from headatlas.storage import SEAL, is_sealed, seal
from headatlas.vlm.chat import Arm, Conversation, conversations
from headatlas.vlm.data import Questions, windows
from headatlas.vlm.evaluate import evaluate, table
from headatlas.vlm.model import VLM
from headatlas.vlm.read import by_length

log = logging.getLogger("headatlas")

BATCHES = 4
"""Batches of a shard. Every shard checks once that passes can be shared, so a few batches in one shard cost less."""


@dataclass(frozen=True, eq=False)
class Group:
    """Conditions that share their bare passes.

    Attributes:
        key: identifies everything on which their answers depend.
        shown: identifies what is shown: model, data, split and arm.
        edits: of each condition.
        scope: of all of them.
        arm: how questions are shown.
        store: where workers leave their results, seen by all machines; None: results travel to this process, and a killed
            sweep starts the group again.
    """

    key: str
    shown: str
    edits: Sequence[Edits]
    scope: str
    arm: Arm | None = None
    store: Folder | None = None


@dataclass(frozen=True)
class Window:
    """Consecutive questions of a dataset, without images, and the rows of each run of batches."""

    questions: list[Question]
    runs: list[list[int]]


def answer_on_workers(
    workers: Workers, vlm: VLM, data: Questions, groups: Sequence[Group], batch_size: int = 32
) -> Iterator[tuple[int, ConditionAnswers]]:
    """As `answer_conditions` for each group; gives the group's number and its answers as groups are done.

    Args:
        workers: where shards run.
        vlm: the model; workers load it by its name.
        data: the questions.
        groups: run in their order.
        batch_size: conversations per batch.

    Raises:
        HeadAtlasError: what a shard raised, or workers that do not see the store.
    """
    job = _Job(data, groups, batch_size)
    for number, result in workers.run(vlm, sweep_shard, job.shards()):
        job.take(number, result)
        yield from job.finished()
    yield from job.finished()


@dataclass(frozen=True)
class _Place:
    """Where a shard belongs: numbers of its group, window and run, and its file in the store."""

    group: int
    window: int
    run: int
    file: str


class _Job:
    """Groups of conditions that workers are answering: what was sent, and what has come back."""

    def __init__(self, data: Questions, groups: Sequence[Group], batch_size: int) -> None:
        self._data, self._groups, self._batch_size = data, groups, batch_size
        self._plans: dict[int, list[Window]] = {}  # by arm
        self._left: dict[int, int] = {}  # shards of each group that are not done
        self._results: dict[int, dict[tuple[int, int], Sweep]] = {g: {} for g in range(len(groups))}
        self._places: list[_Place] = []  # of each shard
        self._ready: list[int] = []  # groups that are done
        self._chats: dict[tuple[int, int], list[Conversation]] = {}  # of one window

    def shards(self) -> Iterator[Shard]:
        """The shards of all groups that no earlier attempt left in the store."""
        for g, group in enumerate(self._groups):
            plan = self._plan(group.arm)
            self._left[g] = sum(len(window.runs) for window in plan)
            edits = _same_tensors(group.edits)
            for w, window in enumerate(plan):
                for r, rows in enumerate(window.runs):
                    file = f"shards/{group.key}-{self._batch_size}-{w}-{r}.npz"
                    self._places.append(_Place(g, w, r, file))
                    number = len(self._places) - 1
                    if group.store is not None and group.store.has(file):
                        try:
                            self._add(self._places[number], unpacked(group.store.read(file)))
                            continue
                        except ValueError:
                            log.warning("%s in %s was cut off or changed: the shard runs again", file, group.store)
                    where = None if group.store is None else group.store.full
                    args = (_of_rows(edits, rows), group.scope, self._batch_size, where, file)
                    shown = f"{group.shown}-{self._batch_size}-{w}-{r}"
                    yield Shard(number, args, (Shared(shown, self._conversations(group.arm, w, rows)),))

    def take(self, number: int, result: bytes | None) -> None:
        """Take the result of a shard; None: it is in the store."""
        place = self._places[number]
        store = self._groups[place.group].store
        if result is None:
            assert store is not None
            try:
                result = store.read(place.file)
            except FileNotFoundError:
                raise HeadAtlasError(
                    f"a worker wrote {place.file} to {str(store)!r}, but this machine does not see it: it must be a folder "
                    "that all machines share, or an address such as s3://bucket/run"
                ) from None
        self._add(place, unpacked(result))

    def finished(self) -> Iterator[tuple[int, ConditionAnswers]]:
        """The groups that have become complete; their files are removed once their answers have been taken."""
        while self._ready:
            g = self._ready.pop(0)
            group = self._groups[g]
            yield g, _joined(self._plan(group.arm), self._results.pop(g), len(group.edits))
            for place in self._places:
                if place.group == g and group.store is not None:
                    group.store.remove(place.file)

    def _add(self, place: _Place, result: Sweep) -> None:
        self._results[place.group][place.window, place.run] = result
        self._left[place.group] -= 1
        if not self._left[place.group]:
            self._ready.append(place.group)

    def _plan(self, arm: Arm | None) -> list[Window]:
        if id(arm) not in self._plans:
            self._plans[id(arm)] = [_plan(window, arm, self._batch_size) for window in windows(self._data, WINDOW)]
        return self._plans[id(arm)]

    def _conversations(self, arm: Arm | None, window: int, rows: list[int]) -> Any:
        """A function that makes the conversations of a run when a worker needs them; those of one window are kept."""

        def make() -> list[Conversation]:
            key = id(arm), window
            if key not in self._chats:
                self._chats.clear()
                self._chats[key] = conversations(next(windows(self._data, WINDOW, skip=window)), arm)
            return [self._chats[key][row] for row in rows]

        return make


def sweep_shard(
    vlm: VLM,
    chats: list[Conversation],
    conditions: Sequence[Edits],
    scope: str,
    batch_size: int,
    where: str | None = None,
    file: str = "",
    valid: Sequence[frozenset[int]] | None = None,
) -> bytes | None:
    """Sweep a few batches under a group of conditions; the result is written to `file` in the folder `where`, or returned."""
    with vlm.reading_again():
        result = packed(sweep(vlm, chats, conditions, scope, batch_size, valid=valid))
    if where is None:
        return result
    Folder.of(where).write(file, result)
    return None


def sweep_on_workers(
    workers: Workers,
    vlm: VLM,
    chats: Sequence[Conversation],
    conditions: Sequence[Edits],
    scope: str = "all",
    batch_size: int = 32,
    progress: Progress | None = None,
    valid: Sequence[frozenset[int]] | None = None,
) -> Sweep:
    """As `engine.sweep`, with the same numbers, a batch a shard; edits must be the same for all conversations."""
    turns = [len(chat.turns) for chat in chats]
    starts = np.concatenate([[0], np.cumsum(turns)]).astype(int)
    batches = [sorted(batch) for batch in by_length(chats, batch_size)]
    edits = _same_tensors(conditions)

    def shards() -> Iterator[Shard]:
        for number, rows in enumerate(batches):
            wanted = None if valid is None else [valid[i] for row in rows for i in range(starts[row], starts[row + 1])]
            yield Shard(number, ([chats[row] for row in rows], edits, scope, batch_size, None, "", wanted))

    parts = []
    for number, result in workers.run(vlm, sweep_shard, shards()):
        parts.append((batches[number], unpacked(result)))
        if progress is not None:
            progress("sweep", sum(len(rows) for rows, _ in parts) * len(conditions), len(chats) * len(conditions))
    return joined(sorted(parts, key=lambda part: part[0]), turns)


def evaluate_on_workers(
    workers: Workers,
    vlm: VLM,
    questions: Questions,
    mode: str = "forced",
    context: str = "gold",
    batch_size: int = 32,
    arm: Arm | None = None,
) -> pd.DataFrame:
    """As `vlm.evaluate` under the model's active edits, a window of questions per shard."""
    # `evaluate` itself names mistakes in the arguments, before anything is sent.
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
    """Rows of the answers table of one window; `shown` has by question id the images and the preamble."""
    with vlm.reading_again():
        answers = evaluate(vlm, questions, mode, context, batch_size, arm=lambda question: shown[question.id])
    plain = answers.astype(object)
    return [
        {str(name): None if value is None or value != value else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _check(vlm: VLM, questions: Questions, mode: str, context: str) -> None:
    if mode not in ("forced", "generate") or context not in ("gold", "own") or (context, mode) == ("own", "forced"):
        evaluate(vlm, questions, mode, context)
    if not len(questions):
        raise HeadAtlasError("evaluation needs at least one question, got an empty dataset")


def _shown(window: Sequence[Question], arm: Arm | None) -> dict[str, Any]:
    return {question.id: (question.images, "") if arm is None else arm(question) for question in window}


def _plan(window: Sequence[Question], arm: Arm | None, batch_size: int) -> Window:
    """Cut a window into runs of whole batches; rows of a run in ascending order, so that a worker makes the same batches."""
    batches = by_length(conversations(window, arm), batch_size)
    runs = [sorted(row for batch in batches[i : i + BATCHES] for row in batch) for i in range(0, len(batches), BATCHES)]
    return Window([question.model_copy(update={"images": ()}) for question in window], runs)


def _same_tensors(conditions: Sequence[Edits]) -> list[list[Any]]:
    """The same edits, with tensors that share memory as one object, which is then sent once."""
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


def _joined(plan: list[Window], results: dict[tuple[int, int], Sweep], n: int) -> ConditionAnswers:
    """The answers of all shards of a group of `n` conditions."""
    parts = []
    for w, window in enumerate(plan):
        runs = [(rows, results[w, r]) for r, rows in enumerate(window.runs)]
        parts.append(WindowAnswers(window.questions, joined(runs, [len(q.steps) for q in window.questions])))
    return ConditionAnswers(parts, n)


def joined(parts: Sequence[tuple[list[int], Sweep]], turns: Sequence[int]) -> Sweep:
    """One sweep over all conversations from sweeps over some, each with the numbers of its conversations."""
    starts = np.concatenate([[0], np.cumsum(turns)]).astype(int)
    n, groups = int(starts[-1]), len(parts[0][1].text)
    logprob, exact = np.full((groups + 1, n), np.nan), np.zeros((groups + 1, n), bool)
    ended = np.ones((groups + 1, n), bool)
    valid = None if any(part.valid is None for _, part in parts) else np.full((groups + 1, n), np.nan)
    text = [[""] * n for _ in range(groups + 1)]
    for rows, part in parts:
        place = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
        logprob[:-1, place], exact[:-1, place] = part.logprob, part.exact
        logprob[-1, place], exact[-1, place] = part.bare[0], part.bare[1]
        ended[:, place] = True if part.ended is None else part.ended
        if valid is not None and part.valid is not None:
            valid[:, place] = part.valid
        for whole, some in zip(text, [*part.text, part.bare[2]], strict=True):
            for at, answer in zip(place.tolist(), some, strict=True):
                whole[at] = answer
    # If one run needed full passes, the whole sweep says so.
    how = sorted({(part.how, part.reason) for _, part in parts}, key=lambda pair: pair[0] == "rerun")[-1]
    bare = (logprob[-1], exact[-1], text[-1])
    return Sweep(logprob[:-1], exact[:-1], text[:-1], bare, tuple(int(turn) for turn in turns), *how, ended, valid)


def packed(result: Sweep) -> bytes:
    """A sweep as bytes: a sealed line, then an .npz."""
    out = io.BytesIO()
    text = np.array([*result.text, result.bare[2]], dtype=np.str_)
    how = np.array([result.how, result.reason])
    ended = np.array([result.ended_in(c) for c in range(-1, len(result.text))])
    valid: dict[str, Any] = {} if result.valid is None else {"valid": result.valid}
    np.savez_compressed(
        out, logprob=np.vstack([result.logprob, result.bare[0]]), exact=np.vstack([result.exact, result.bare[1]]),
        text=np.char.encode(text, "utf-8"), turns=np.array(result.turns), how=how,
        ended=np.roll(ended, -1, axis=0), **valid,
    )  # fmt: skip
    return seal(SEAL + b"\n" + out.getvalue())


def unpacked(data: bytes) -> Sweep:
    """Read what `packed` wrote.

    Raises:
        ValueError: the bytes were cut off or changed.
    """
    if not is_sealed(data):
        raise ValueError("cut off or changed since it was written")
    with np.load(io.BytesIO(data[len(SEAL) + 1 :]), allow_pickle=False) as arrays:
        text = np.char.decode(arrays["text"], "utf-8").tolist()
        logprob: Float[np.ndarray, "C1 N"] = arrays["logprob"]
        exact, (how, reason) = arrays["exact"], arrays["how"].tolist()
        turns = tuple(arrays["turns"].tolist())
        if "ended" not in arrays:  # of a version that did not look whether answers end
            raise ValueError("it does not say which answers ended")
        ended = arrays["ended"]
        valid = arrays.get("valid")
    bare = (logprob[-1], exact[-1], text[-1])
    return Sweep(logprob[:-1], exact[:-1], text[:-1], bare, turns, how, reason, ended, valid)
