"""Conditions, and the runner that evaluates a model under them: what a model answers when these heads are edited so.

A condition is declarative (edits + scope + arm), so its answers are a function of the model, the data and the
condition. The
runner keys every answers table by the content of all three and keeps it as Parquet, written beside and renamed: a
process killed at any moment loses at most the condition it was in. Knows the answers table as a thing to keep; knows
nothing of which heads are worth editing, and no statistics.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from headatlas.cluster import Workers
from headatlas.errors import HeadAtlasError
from headatlas.heads import SCOPES, Edit
from headatlas.intervention.split_cache import SplitCache
from headatlas.storage import Folder

TOGETHER = {"all": 32, "image": 32, "prompt": 32, "answer": 256, "last": 256}
"""Conditions of a scope that share a bare pass: what a killed run loses at most."""

CACHE_VERSION = 2
"""Raise when the meaning of an answers table changes, so that older caches are not read."""

ORIGINAL = "original"
"""The arm in which a question is shown as it is."""

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` after each condition."""


@runtime_checkable
class Editable(Protocol):
    """What the runner needs of a `VLM`: an identity that covers its weights, and editing as a context manager."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the answers could."""
        ...

    def edit(self, *edits: Any, scope: str = "all", rows: Any = None) -> AbstractContextManager[Any]:
        """Heads are edited while the context is open."""
        ...


@runtime_checkable
class Questions(Protocol):
    """What the runner needs of a `CogVSR`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a question does."""
        ...

    def split(self, name: str) -> Any:
        """The questions of one split."""
        ...


@dataclass(frozen=True)
class Condition:
    """What is done to a model while it answers.

    Args:
        name: For people and progress bars; not part of the condition's identity.
        edits: Edits of heads; none is the bare model.
        scope: Token positions the edits act at, one of `heads.SCOPES`.
        arm: Name of the way questions are shown (`latent.arms`); `original` shows them as they are.
    """

    name: str
    edits: tuple[Edit, ...] = ()
    scope: str = "all"
    arm: str = ORIGINAL

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise HeadAtlasError(f"unknown scope {self.scope!r}: expected one of {', '.join(SCOPES)}")

    @property
    def like(self) -> tuple[str, str]:
        """Scope and arm: conditions alike in these can share a bare pass."""
        return self.scope, self.arm

    @property
    def fingerprint(self) -> str:
        """Hex digest of heads, factors, shifts, scope and arm: equal iff the condition does the same thing."""
        # The scope of no edit is nothing: bare models of any scope share one cache entry.
        scope = self.scope if self.edits else "all"
        return digest(scope, self.arm, *(edit.fingerprint for edit in self.edits))


class Runner:
    """Evaluates conditions on splits of a dataset, each once.

    Args:
        vlm: The model (`headatlas.vlm.VLM`).
        data: The dataset (`headatlas.cogvsr.CogVSR`).
        cache_dir: Folder of cached answers tables, or an address such as `s3://bucket/run`; None keeps them in memory only.
        mode: `forced` (one teacher-forced pass) or `generate`, see `vlm.evaluate`.
        context: `gold` or `own`: whose answers earlier steps show.
        batch_size: Questions a batch.
        arms: Ways of showing a question by name, each a function Question -> (images, preamble); see `latent.arms`.
        evaluate: Replaces `vlm.evaluate.evaluate` (same signature).
        workers: Processes on several devices or machines (`headatlas.cluster`) that answer instead of this one; they load
            the model by its name and must see `cache_dir`.
    """

    def __init__(
        self,
        vlm: Editable,
        data: Questions,
        cache_dir: str | Path | None = None,
        mode: str = "forced",
        context: str = "gold",
        batch_size: int = 32,
        arms: Mapping[str, Any] | None = None,
        evaluate: Callable[..., pd.DataFrame] | None = None,
        workers: Workers | None = None,
    ) -> None:
        if mode not in ("forced", "generate"):
            raise HeadAtlasError(f"unknown mode {mode!r}: expected 'forced' or 'generate'")
        if context not in ("gold", "own"):
            raise HeadAtlasError(f"unknown context {context!r}: expected 'gold' or 'own'")
        self.vlm, self.data, self.mode, self.context, self.batch_size = vlm, data, mode, context, batch_size
        self.cache = Folder.of(cache_dir) if cache_dir is not None else None
        self.workers = workers
        self.arms = dict(arms or {})
        self.evaluated = 0
        """Conditions this runner had to evaluate because no cache held them."""
        self._evaluate = evaluate
        self._held = SplitCache(data)
        self._memory: dict[str, pd.DataFrame] = {}
        self._vision: Any = None

    def key(self, condition: Condition, split: str = "E") -> str:
        """Hex digest naming the cached answers table of a condition on a split."""
        arm = "" if condition.arm == ORIGINAL else str(getattr(self._arm(condition.arm), "fingerprint", condition.arm))
        # Edits that the caller has opened around the runner count too.
        around = tuple(getattr(self.vlm, "edits_key", ()))
        parts = (*around, self.vlm.fingerprint, self.data.fingerprint, split, condition.fingerprint, arm)
        return digest(CACHE_VERSION, *parts, self.mode, self.context)

    def run(self, condition: Condition, split: str = "E") -> pd.DataFrame:
        """The answers table of `condition` on `split` ("E", or "E[:150]" for its first 150 questions), cached.

        Raises:
            HeadAtlasError: The split holds no question, or the condition's arm is unknown.
        """
        return self.run_many([condition], split)[0]

    def run_many(
        self, conditions: Iterable[Condition], split: str = "E", progress: Progress | None = None
    ) -> list[pd.DataFrame]:
        """`run` for each condition; `progress(name, done, total)` is called after each.

        Conditions of one scope and arm share the bare model's passes (`engine.sweep`) where their answers are read off
        gold context.
        """
        todo = list(conditions)
        keys = [self.key(condition, split) for condition in todo]
        tables: list[pd.DataFrame] = []
        fresh: dict[str, pd.DataFrame] = {}
        told = set() if self.workers is None else self._spread(todo, keys, split, progress)
        done = len(told)
        for place, (condition, key) in enumerate(zip(todo, keys, strict=True)):
            table = self._load(key)
            if table is None:
                if key not in fresh:
                    rest = dict(zip(keys[place:], todo[place:], strict=True))
                    fresh |= self._answers({k: one for k, one in rest.items() if k not in fresh}, split)
                table = fresh.pop(key)
                self._store(key, table, condition, split)
                self.evaluated += 1
            tables.append(table)
            if key in told:
                told.discard(key)
                continue
            done += 1
            if progress is not None:
                progress(condition.name, done, len(todo))
        return tables

    def baseline(self, split: str = "E") -> pd.DataFrame:
        """The answers of the bare model to the questions as they are."""
        return self.run(Condition(ORIGINAL), split)

    def _arm(self, name: str) -> Any:
        if name not in self.arms:
            known = ", ".join([ORIGINAL, *self.arms])
            raise HeadAtlasError(f"unknown arm {name!r}: expected one of {known}; pass arms= to Runner")
        return self.arms[name]

    def _questions(self, split: str) -> Any:
        name, first = parse_split(split)
        held = self._held.questions(name)
        if first is None or first >= len(held):
            return held
        return held[:first] if isinstance(held, list) else [held[i] for i in range(first)]

    def _some(self, split: str) -> Any:
        questions = self._questions(split)
        if len(questions) == 0:
            raise HeadAtlasError(f"split {split!r} holds no question: build or load the dataset with that split")
        return questions

    def _spread(self, todo: list[Condition], keys: list[str], split: str, progress: Progress | None) -> set[str]:
        """Have workers answer what the engine can share and no cache holds; gives their keys, of which progress was told."""
        from headatlas.intervention.sharding import Group, answer_on_workers

        missing = {key: one for key, one in zip(keys, todo, strict=True) if self._shares(one) and not self._kept(key)}
        rest, groups, named = dict(missing), [], []
        while rest:
            first = next(iter(rest.values()))
            some = dict(islice(((k, one) for k, one in rest.items() if one.like == first.like), TOGETHER[first.scope]))
            rest = {key: one for key, one in rest.items() if key not in some}
            arm = None if first.arm == ORIGINAL else self._arm(first.arm)
            content = self.key(Condition("", arm=first.arm), split)
            groups.append(Group(digest(*some), content, [list(one.edits) for one in some.values()], first.scope, arm))
            named.append(some)
        told: set[str] = set()
        if not groups:
            return told
        assert self.workers is not None
        vlm: Any = self.vlm
        for g, made in answer_on_workers(self.workers, vlm, self._some(split), groups, self.batch_size, self.cache):
            for (key, condition), table in zip(named[g].items(), made, strict=True):
                self._store(key, table, condition, split)
                self.evaluated += 1
                told.add(key)
                if progress is not None:
                    progress(condition.name, len(told), len(todo))
        return told

    def _shares(self, condition: Condition) -> bool:
        """Whether the engine can read its answers off passes that conditions share."""
        plain = self._evaluate is None and self.mode == "forced" and not getattr(self.vlm, "edited", True)
        return plain and bool(condition.edits)

    def _answers(self, todo: dict[str, Condition], split: str) -> dict[str, pd.DataFrame]:
        """Answers tables by key: of the first condition, and of those after it that can share its passes."""
        key, condition = next(iter(todo.items()))
        if not self._shares(condition):
            return {key: self._answer(condition, split)}
        from headatlas.intervention.batched_answers import answer_conditions

        alike = (
            (other, one)
            for other, one in todo.items()
            if one.edits and one.like == condition.like and not self._kept(other)
        )
        some = dict(islice(alike, TOGETHER[condition.scope]))
        arm = None if condition.arm == ORIGINAL else self._arm(condition.arm)
        edits = [list(one.edits) for one in some.values()]
        vlm: Any = self.vlm
        with self._seeing():
            made = answer_conditions(vlm, self._some(split), edits, condition.scope, self.batch_size, arm)
        return dict(zip(some, made, strict=True))

    def _answer(self, condition: Condition, split: str) -> pd.DataFrame:
        questions = self._some(split)
        evaluate = self._evaluate or self._own_evaluate()
        arm = None if condition.arm == ORIGINAL else self._arm(condition.arm)
        options = {"mode": self.mode, "context": self.context, "batch_size": self.batch_size, "arm": arm}
        with self._seeing():
            if not condition.edits:
                return evaluate(self.vlm, questions, **options)
            with self.vlm.edit(*condition.edits, scope=condition.scope):
                return evaluate(self.vlm, questions, **options)

    def _own_evaluate(self) -> Callable[..., pd.DataFrame]:
        """`vlm.evaluate`, here or by the workers."""
        if self.workers is None:
            from headatlas.vlm import evaluate

            return evaluate
        from headatlas.intervention.sharding import evaluate_on_workers

        return partial(evaluate_on_workers, self.workers)

    def _seeing(self) -> AbstractContextManager[Any]:
        """Within, a picture goes through the vision tower once, however many conditions show it."""
        if not hasattr(self.vlm, "heads"):
            return nullcontext()
        if self._vision is None:
            from headatlas.vlm.vision import VisionMemo

            self._vision = VisionMemo(self.vlm)
        return self._vision.installed()

    def _kept(self, key: str) -> bool:
        return key in self._memory if self.cache is None else self.cache.has(f"{key}.parquet")

    def _load(self, key: str) -> pd.DataFrame | None:
        if self.cache is None:
            found = self._memory.get(key)
            return None if found is None else found.copy()
        try:
            return pd.read_parquet(io.BytesIO(self.cache.read(f"{key}.parquet")))
        except FileNotFoundError:
            return None

    def _store(self, key: str, table: pd.DataFrame, condition: Condition, split: str) -> None:
        if self.cache is None:
            self._memory[key] = table.copy()
            return
        told = {"name": condition.name, "split": split, "scope": condition.scope, "arm": condition.arm}
        told |= {"mode": self.mode, "context": self.context}
        told |= {"edits": [str(getattr(edit, "name", "")) for edit in condition.edits]}
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        metadata = {**(arrow.schema.metadata or {}), b"headatlas": json.dumps(told).encode()}
        data = io.BytesIO()
        pq.write_table(arrow.replace_schema_metadata(metadata), data, compression="zstd")
        self.cache.write(f"{key}.parquet", data.getvalue())


def parse_split(split: str) -> tuple[str, int | None]:
    """("E", None) of "E", ("E", 150) of "E[:150]", the first 150 questions of split E.

    Raises:
        HeadAtlasError: It is neither.
    """
    found = re.fullmatch(r"(\w+)(?:\[:(\d+)\])?", split)
    if not found:
        raise HeadAtlasError(f"expected a split such as 'E' or 'E[:150]', came {split!r}")
    return found[1], None if found[2] is None else int(found[2])


def digest(*parts: str | int) -> str:
    """Hex digest (32 characters) of a sequence of texts and numbers, each kept apart from its neighbours."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
