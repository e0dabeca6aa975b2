"""`Runner`, which evaluates conditions and caches the answers.

A condition only describes edits, scope and arm, so its answers are a function of the model, the data and the condition. The
runner stores every answers table under a digest of everything it depends on, with a digest of its content, in one step: a process
that is killed loses at most the conditions that it was evaluating.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from headatlas.cluster import Workers
from headatlas.cluster.worker import own_version
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, read_frame, write_frame
from headatlas.intervention.answers_tables import AnswersTables
from headatlas.intervention.condition import ORIGINAL, Condition, digest
from headatlas.intervention.split_cache import SplitCache, parse_split
from headatlas.progress import Progress
from headatlas.storage import DamagedError, is_sealed

log = logging.getLogger("headatlas")

GROUP_SIZES = {"all": 32, "image": 32, "prompt": 32, "answer": 256, "last": 256}
"""Largest number of conditions that share a bare pass, and so that a killed run can lose."""

CACHE_VERSION = 3
"""Increased when the meaning of an answers table changes, so that older caches are not read."""


@runtime_checkable
class Editable(Protocol):
    """The interface of a `VLM` that the runner uses: an identity on which its answers depend, and editing."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the answers could change."""
        ...

    def edit(self, *edits: Any, scope: str = "all", rows: Any = None) -> AbstractContextManager[Any]:
        """Heads are edited while the context is open."""
        ...


class Runner:
    """Evaluates conditions on splits of a dataset, each once.

    Args:
        vlm: the model (`headatlas.vlm.VLM`).
        data: the dataset: a `CogVSR`, or anything with its `fingerprint` and `split(name)`.
        cache_dir: folder of cached answers tables, or an address such as `s3://bucket/run`; None keeps them in memory
            only. One process at a time may evaluate into a folder.
        mode: `forced` (one teacher-forced pass) or `generate`, see `vlm.evaluate`.
        context: `gold` or `own`: whose answers earlier steps show.
        batch_size: questions per batch.
        arms: ways of showing a question by name, each a function Question -> (images, preamble); see `latent.arms`.
            Answers to an arm are cached on disk only if it has a `fingerprint`, a text that changes with what it shows.
        evaluate: replaces `vlm.evaluate.evaluate` (same signature).
        workers: processes on several devices or machines (`headatlas.cluster`) that answer instead of this one; they load
            the model by its name and must see `cache_dir`.

    Raises:
        HeadAtlasError: an unknown mode or context.
    """

    def __init__(
        self,
        vlm: Editable,
        data: Any,
        cache_dir: str | Path | None = None,
        mode: str = "forced",
        context: str = "gold",
        batch_size: int = 32,
        arms: Mapping[str, Any] | None = None,
        evaluate: Callable[..., pd.DataFrame] | None = None,
        workers: Workers | None = None,
    ) -> None:
        if mode not in ("forced", "generate"):
            raise HeadAtlasError(f"mode must be 'forced' or 'generate', got {mode!r}")
        if context not in ("gold", "own"):
            raise HeadAtlasError(f"context must be 'gold' or 'own', got {context!r}")
        self.vlm, self.data, self.mode, self.context, self.batch_size = vlm, data, mode, context, batch_size
        self.cache = Folder.of(cache_dir) if cache_dir is not None else None
        self.workers = workers
        self.arms = dict(arms or {})
        self.evaluated = 0
        """Conditions that this runner had to evaluate because they were not cached."""
        self._evaluate = evaluate
        self._splits = SplitCache(data)
        self._memory: dict[str, Callable[[], pd.DataFrame]] = {}

    def __repr__(self) -> str:
        model, where = getattr(self.vlm, "name", type(self.vlm).__name__), self.cache or "memory"
        return f"Runner({model!r}, {self.data!r}, {self.mode}, {self.context} context, answers in {str(where)!r})"

    def key(self, condition: Condition, split: str = "E") -> str:
        """Hex digest of everything on which the answers of a condition on a split depend; their file's name in the cache."""
        return self._key(condition, split, self._identity())

    def run(self, condition: Condition, split: str = "E") -> pd.DataFrame:
        """The answers table of `condition` on `split` ("E", or "E[:150]" for its first 150 questions), cached.

        Raises:
            HeadAtlasError: the split has no question, the condition's arm is unknown, or another process is evaluating
                into the cache.
        """
        return self.run_many([condition], split)[0]

    def run_many(
        self, conditions: Iterable[Condition], split: str = "E", progress: Progress | None = None
    ) -> AnswersTables:
        """`run` for each condition; `progress(condition.name, done, total)` is called after each.

        Conditions of one scope and arm share the bare model's passes (`engine.sweep`) where their answers are read off
        gold context. Tables are read when they are asked for, so that thousands of conditions need little memory.
        """
        todo = list(conditions)
        identity = self._identity()
        keys = [self._key(condition, split, identity) for condition in todo]
        places = dict(zip(keys, todo, strict=True))
        missing = {key: condition for key, condition in places.items() if not self._has(key)}
        with self._locked(bool(missing)):
            done = 0
            reported: set[str] = set()

            def report(key: str) -> None:
                nonlocal done
                for condition in (one for k, one in zip(keys, todo, strict=True) if k == key and key not in reported):
                    done += 1
                    if progress is not None:
                        progress(condition.name, done, len(todo))
                reported.add(key)

            for key in keys:
                if key not in missing:
                    report(key)
            for key in self._run_missing(missing, split, identity):
                report(key)
        return AnswersTables([partial(self._table, key, one, split) for key, one in zip(keys, todo, strict=True)])

    def baseline(self, split: str = "E") -> pd.DataFrame:
        """The answers of the bare model to the questions as they are."""
        return self.run(Condition(ORIGINAL), split)

    # -- identity --------------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[str, ...]:
        """Everything on which answers depend besides condition and split; computed again in each call, because the model may
        change."""
        # This includes edits that the caller has made active.
        around = tuple(getattr(self.vlm, "edits_key", ()))
        evaluate = self._evaluate
        own = "" if evaluate is None else f"{evaluate.__module__}.{getattr(evaluate, '__qualname__', evaluate)}"
        return (*around, self.vlm.fingerprint, self.data.fingerprint, self.mode, self.context, own, own_version())

    def _key(self, condition: Condition, split: str, identity: tuple[str, ...]) -> str:
        arm = "" if condition.arm == ORIGINAL else str(getattr(self._arm(condition.arm), "fingerprint", condition.arm))
        return digest(CACHE_VERSION, *identity, split, condition.fingerprint, arm)

    def _arm(self, name: str) -> Any:
        if name not in self.arms:
            known = ", ".join([ORIGINAL, *self.arms])
            raise HeadAtlasError(f"arm must be one of {known}, got {name!r}; pass arms= to Runner")
        return self.arms[name]

    def _on_disk(self, condition: Condition) -> Folder | None:
        """The cache folder if answers of this condition may be kept there."""
        known = condition.arm == ORIGINAL or hasattr(self._arm(condition.arm), "fingerprint")
        return self.cache if known else None

    # -- questions -------------------------------------------------------------------------------------------------

    def _questions(self, split: str) -> Any:
        name, first = parse_split(split)
        questions = self._splits.questions(name)
        if first is not None and first < len(questions):
            questions = questions[:first] if isinstance(questions, list) else [questions[i] for i in range(first)]
        if len(questions) == 0:
            raise HeadAtlasError(f"split {split!r} has no question: build or load the dataset with that split")
        return questions

    # -- evaluating ------------------------------------------------------------------------------------------------

    def _run_missing(self, missing: dict[str, Condition], split: str, identity: tuple[str, ...]) -> Iterator[str]:
        """Evaluate conditions, store their answers, and yield their keys as they are done."""
        rest = dict(missing)
        if self.workers is not None:
            for key in self._on_workers({k: one for k, one in rest.items() if self._shares(one)}, split, identity):
                del rest[key]
                yield key
        while rest:
            first = next(iter(rest.values()))
            if self._shares(first):
                answers = self._shared_passes(_group(rest), split)
            else:
                table = self._answer(first, split)
                answers = {next(iter(rest)): table.copy}
            for key, load in answers.items():
                self._store(key, load, rest.pop(key), split)
                yield key

    def _shares(self, condition: Condition) -> bool:
        """Whether the engine can compute its answers from shared passes."""
        plain = self._evaluate is None and self.mode == "forced" and not getattr(self.vlm, "edited", True)
        return plain and bool(condition.edits)

    def _shared_passes(self, some: dict[str, Condition], split: str) -> dict[str, Callable[[], pd.DataFrame]]:
        """Functions that build the answers tables of conditions of one scope and arm."""
        from headatlas.intervention.batched_answers import answer_conditions

        first = next(iter(some.values()))
        arm = None if first.arm == ORIGINAL else self._arm(first.arm)
        edits = [list(one.edits) for one in some.values()]
        vlm: Any = self.vlm
        with self._seeing():
            answers = answer_conditions(vlm, self._questions(split), edits, first.scope, self.batch_size, arm)
        return {key: partial(answers.__getitem__, i) for i, key in enumerate(some)}

    def _on_workers(self, rest: dict[str, Condition], split: str, identity: tuple[str, ...]) -> Iterator[str]:
        """Let workers answer conditions that share passes, store their answers, and yield their keys as they are done."""
        from headatlas.intervention.sharding import Group, answer_on_workers

        groups, named = [], []
        while rest:
            some = _group(rest)
            rest = {key: one for key, one in rest.items() if key not in some}
            first = next(iter(some.values()))
            arm = None if first.arm == ORIGINAL else self._arm(first.arm)
            shown = self._key(Condition("", arm=first.arm), split, identity)
            edits = [list(one.edits) for one in some.values()]
            groups.append(Group(digest(*some), shown, edits, first.scope, arm, store=self._on_disk(first)))
            named.append(some)
        if not groups:
            return
        assert self.workers is not None
        vlm: Any = self.vlm
        for g, answers in answer_on_workers(self.workers, vlm, self._questions(split), groups, self.batch_size):
            for i, (key, condition) in enumerate(named[g].items()):
                self._store(key, partial(answers.__getitem__, i), condition, split)
                yield key

    def _answer(self, condition: Condition, split: str) -> pd.DataFrame:
        questions = self._questions(split)
        evaluate = self._evaluate or self._own_evaluate()
        arm = None if condition.arm == ORIGINAL else self._arm(condition.arm)
        options = {"mode": self.mode, "context": self.context, "batch_size": self.batch_size, "arm": arm}
        with self._seeing():
            if not condition.edits:
                return evaluate(self.vlm, questions, **options)
            with self.vlm.edit(*condition.edits, scope=condition.scope):
                return evaluate(self.vlm, questions, **options)

    def _own_evaluate(self) -> Callable[..., pd.DataFrame]:
        """`vlm.evaluate`, here or on the workers."""
        if self.workers is None:
            from headatlas.vlm import evaluate

            return evaluate
        from headatlas.intervention.sharding import evaluate_on_workers

        return partial(evaluate_on_workers, self.workers)

    def _seeing(self) -> AbstractContextManager[Any]:
        """Within the block conversations are encoded, and pictures seen by the vision tower, only once for all conditions."""
        reading_again = getattr(self.vlm, "reading_again", None)
        return nullcontext() if reading_again is None else reading_again()

    # -- cache -----------------------------------------------------------------------------------------------------

    def _locked(self, needed: bool) -> AbstractContextManager[None]:
        return self.cache.locked("cache of answers") if needed and self.cache is not None else nullcontext()

    def _has(self, key: str) -> bool:
        """Whether answers are cached and intact."""
        if key in self._memory or self.cache is None:
            return key in self._memory
        try:
            intact = is_sealed(self.cache.read(f"{key}.parquet"))
        except FileNotFoundError:
            return False
        if not intact:
            log.warning("%s.parquet in %s was cut off or changed since it was written: computed again", key, self.cache)
        return intact

    def _read(self, key: str) -> pd.DataFrame | None:
        if self.cache is None:
            return None
        try:
            return read_frame(self.cache, f"{key}.parquet")[0]
        except (FileNotFoundError, DamagedError):
            return None

    def _table(self, key: str, condition: Condition, split: str) -> pd.DataFrame:
        if key in self._memory:
            return self._memory[key]()
        table = self._read(key)
        if table is None:  # damaged since `run_many` looked
            with self._locked(True):
                list(self._run_missing({key: condition}, split, self._identity()))
            return self._memory[key]() if key in self._memory else self._must_read(key)
        return table

    def _must_read(self, key: str) -> pd.DataFrame:
        table = self._read(key)
        if table is None:
            raise HeadAtlasError(f"{key}.parquet in {str(self.cache)!r} cannot be read just after it was written")
        return table

    def _store(self, key: str, load: Callable[[], pd.DataFrame], condition: Condition, split: str) -> None:
        self.evaluated += 1
        folder = self._on_disk(condition)
        if folder is None:
            self._memory[key] = load
            return
        info = {"name": condition.name, "split": split, "scope": condition.scope, "arm": condition.arm}
        info |= {"mode": self.mode, "context": self.context}
        info |= {"edits": [str(getattr(edit, "name", "")) for edit in condition.edits]}
        write_frame(folder, f"{key}.parquet", load(), info)


def _group(rest: dict[str, Condition]) -> dict[str, Condition]:
    """The first conditions that share the bare passes of the first one, as many as a group holds."""
    first = next(iter(rest.values()))
    sharing = ((key, one) for key, one in rest.items() if one.edits and one.like == first.like)
    return dict(islice(sharing, GROUP_SIZES[first.scope]))
