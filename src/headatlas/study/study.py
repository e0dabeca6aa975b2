"""`Study`: the settings and run directory of a study, and the objects that its stages share.

Model, data, activations and atlas are loaded on first use, so that a resumed run or a single stage loads only what it needs.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float32

from headatlas.activations import Activations
from headatlas.cluster import Workers
from headatlas.cogvsr import CogVSR
from headatlas.cogvsr import load as load_data
from headatlas.cogvsr.enough import cannot_run, scenes_per_split, too_few
from headatlas.cogvsr.functions import FUNCTIONS, TASK, TASK_TITLE
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.heads import HeadSet
from headatlas.intervention import Runner, mean_z
from headatlas.intervention.condition import ORIGINAL
from headatlas.latent import arms, get_detector
from headatlas.progress import Progress
from headatlas.scoring import Atlas
from headatlas.study.asking import find_left_out
from headatlas.study.continuing import GIVEN, check_loaded, check_model, continued, identity, model_record
from headatlas.study.rundir import RunDir
from headatlas.study.settings import Settings, judged_by_default
from headatlas.vlm import VLM
from headatlas.vlm.loading import ANSWERS, Loading

log = logging.getLogger("headatlas")

SPLITS = ("P", "S", "T", "E")


class Study:
    """A study of one model on one dataset in one run directory.

    Nothing is written before the first stage begins, so that a wrong setting, model or dataset leaves no folder behind.

    Args:
        settings: the settings.
        out: run directory.
        vlm: the model if it is loaded already, else `settings.model` is loaded when first needed.
        data: the dataset if it is loaded already, else `settings.data`.
        progress: see `headatlas.progress`.
        workers: processes on several devices or machines that capture and answer (`headatlas.cluster`); the caller ends
            them.
        store: where activations and answers are kept if not in the run directory, such as `s3://bucket/run`; noted in
            the run directory.
        loading: where and how the model is loaded, if it is not given; the settings say its dtype, quantization and revision.

    Raises:
        HeadAtlasError: `out` holds a run of another model, dataset or settings, or one with another store; the settings ask for
            another dtype, quantization or revision than the given model's.
    """

    def __init__(
        self,
        settings: Settings,
        out: str | Path,
        *,
        vlm: VLM | None = None,
        data: Any = None,
        progress: Progress | None = None,
        workers: Workers | None = None,
        store: str | Path | None = None,
        loading: Loading | None = None,
    ) -> None:
        self.run, self.workers, self.progress = RunDir(out), workers, progress
        self._loading, self._model = loading or Loading(), settings.model
        self._record = self.run.record()
        self.settings = continued(settings, self.run, self._record)
        self.store = self._store(None if store is None else str(store))
        if vlm is not None:
            check_loaded(vlm, settings)
            check_model(vlm, self.settings, self.run, self._record)
            self.vlm = vlm
        if data is not None:
            self.whole = data

    def __repr__(self) -> str:
        return f"Study({self.settings.model!r} on {self.settings.data!r} in {str(self.run.root)!r})"

    # -- what stages share -----------------------------------------------------------------------------------------

    @cached_property
    def vlm(self) -> VLM:
        """The model.

        Raises:
            HeadAtlasError: the run was begun with another one; the message says what differs.
        """
        wanted = {name: getattr(self.settings, name) for name in ANSWERS}
        loaded = replace(self._loading, **wanted).load(self._model)
        check_model(loaded, self.settings, self.run, self._record)
        return loaded

    @cached_property
    def data(self) -> CogVSR:
        """The questions that the model is asked: the dataset without those in results/left_out.csv.

        Raises:
            HeadAtlasError: as `whole`.
        """
        table = self.run.read_table("left_out")
        refused = set(table.loc[table["what"] == "question", "name"])
        return self.whole.select(name for name in self.whole.ids if name not in refused) if refused else self.whole

    @cached_property
    def whole(self) -> CogVSR:
        """The dataset: the copy in the run directory if the run has begun and the copy is intact, else from its source.

        Raises:
            HeadAtlasError: the copy is damaged, and its source cannot be read again or has changed.
        """
        source, wanted = self.settings.data, (self._record or {}).get("data_fingerprint")
        if wanted is None:
            return load_data(source, n=self.settings.n, seed=self.settings.seed)
        copy = self.run.root / "data"
        copied = _loaded(copy, wanted)
        if copied is not None:
            return copied
        if source.startswith(GIVEN):
            raise HeadAtlasError(
                f"the questions in {str(copy)!r} are missing or were changed since the run began, and they were passed as an "
                "object: call run_study with the same data again"
            )
        again = load_data(source, n=self.settings.n, seed=self.settings.seed)
        if again.fingerprint != wanted:
            raise HeadAtlasError(
                f"the questions in {str(copy)!r} are missing or were changed since the run began, and the dataset {source!r} "
                f"is another one by now ({wanted} there, {again.fingerprint} now): name another folder"
            )
        return again

    @cached_property
    def functions(self) -> tuple[str, ...]:
        """The functions that steps of the data have as their primary one, in the order of `FUNCTIONS`."""
        there = set(self.whole.steps()["function"])
        return tuple(name for name in FUNCTIONS if name in there)

    @cached_property
    def one_task(self) -> bool:
        """Whether the questions do not name their functions, so that they are studied as one function."""
        return bool((self.whole.steps()["kind"] == TASK).all())

    def name_of(self, function: str) -> str:
        """What messages call a function: "this task" in a study of questions without functions."""
        return TASK_TITLE.lower() if self.one_task else function

    @cached_property
    def acts(self) -> Activations:
        """The captured activations."""
        return Activations.open(self.store.at("capture").where)

    @cached_property
    def atlas(self) -> Atlas:
        """Scores and head sets, as kept by the stage `score`."""
        return Atlas.load(self.run.root / "atlas.json")

    @property
    def scorers(self) -> tuple[str, ...]:
        """The scorers of the settings that could score these data; all of them before the stage `score` has run."""
        if not self.run.has_run("score"):
            return self.settings.scorers
        return tuple(self.atlas.scores)

    @cached_property
    def means(self) -> Float32[np.ndarray, "L H D"]:
        """Mean z of every head over the steps of split P, for mean ablation."""
        return mean_z(self.acts, "P")

    @cached_property
    def arms(self) -> dict[str, Any]:
        """The ways of showing a question by name: those of spatial head activation, and `no_image`."""
        return {**arms(get_detector(self.settings.detector)), "no_image": NO_IMAGE}

    def shows(self, arm: str) -> bool:
        """Whether the model can be asked in this way; if not, results/left_out.csv says why."""
        table = self.run.read_table("left_out")
        return not ((table["what"] == "arm") & (table["name"] == arm)).any()

    def runner(self, mode: str = "forced", context: str = "gold") -> Runner:
        """A runner whose answers are cached in the run directory."""
        return Runner(
            self.vlm,
            cast(Any, self.data),
            self.store.at("answers").where,
            mode,
            context,
            self.settings.batch_size,
            arms=self.arms,
            workers=self.workers,
        )

    def head_set(self, function: str, scorer: str) -> HeadSet:
        """The heads that are ablated and steered: those that the settings' selector selects, or the best of them.

        They are at most `settings.head_share` of all heads, because removing a third of the heads breaks any model.
        """
        selected = self.atlas.heads(function, scorer=scorer, selector=self.settings.selector)
        most = self.most_heads
        if len(selected) <= most:
            return selected
        chosen = set(selected)
        best = [head for head in self.atlas.ranking(function, scorer) if head in chosen][:most]
        return HeadSet(sorted(best), reason=f"the best {most} of {len(selected)} selected")

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of the scorers whose heads are ablated, steered and judged, of those that could score these data."""
        chosen = tuple(name for name in self.scorers if name in self.settings.judged)
        return chosen or judged_by_default(self.scorers)

    @property
    def control_split(self) -> str:
        """The part of split E on which ablation and steering are compared with random controls."""
        n = self.settings.n_control_questions
        return "E" if n is None else f"E[:{n}]"

    @property
    def most_heads(self) -> int:
        """The largest number of heads of an ablated or steered set."""
        layers, heads = self.vlm.heads.shape
        return max(1, round(self.settings.head_share * layers * heads))

    def report(self, what: str, done: int, total: int) -> None:
        """Call the progress callback, if there is one."""
        if self.progress is not None:
            self.progress(what, done, total)

    # -- identity --------------------------------------------------------------------------------------------------

    def fingerprint(self) -> dict[str, Any]:
        """Identity of model, data and settings, on which the results depend."""
        return {
            "model_fingerprint": self.vlm.fingerprint,
            "data_fingerprint": self.whole.fingerprint,
            **identity(self.settings),
        }

    def begin(self) -> None:
        """Make the run directory, before the first stage.

        Raises:
            HeadAtlasError: the model or the dataset cannot be loaded, a split is missing, or another process has just begun
                a run in the same folder. Nothing is written then.
        """
        few = self.check_data()  # before the model is loaded
        if few and self._record is None:
            log.warning("few pictures, so verdicts can hardly be reached: %s", " ".join(few))
        record = {
            "settings": identity(self.settings),
            "batch_size": self.settings.batch_size,
            "store": None if self.store.local == self.run.root else self.store.where,
            "model": model_record(self.vlm),
            "data_fingerprint": self.whole.fingerprint,
        }
        self.run.begin(record)
        self._record = self.run.record()

    def check_data(self) -> list[str]:
        """Warnings about splits with too few questions, one sentence per split; needs no model.

        Raises:
            HeadAtlasError: the dataset cannot be loaded, it lacks a split, it has too few pictures to compute a study, or only
                some of its steps have a named function.
        """
        per_split(self.whole)
        steps = self.whole.steps()
        unnamed = (steps["kind"] == TASK).to_numpy()
        if unnamed.any() and not unnamed.all():
            first = steps["question"][unnamed].iloc[0]
            raise HeadAtlasError(
                f"{int(unnamed.sum())} of {len(steps)} steps have no named function, the first is of question {first!r}: name "
                "the functions of all steps or of none"
            )
        scenes = scenes_per_split(steps)
        if fault := cannot_run(scenes):
            raise HeadAtlasError(fault)
        return too_few(scenes)

    def forget(self) -> None:
        """Drop activations, means and atlas from memory, so that they are read again after a stage has rewritten them."""
        for name in ("acts", "means", "atlas"):
            self.__dict__.pop(name, None)

    def find_left_out(self) -> pd.DataFrame:
        """Questions that the model cannot be asked: rows of results/left_out.csv.

        Raises:
            HeadAtlasError: the model can read no question of a split.
        """
        shown = {name: arm for name, arm in self.arms.items() if name != ORIGINAL}
        rows = find_left_out(self.vlm, self.whole, shown, self.report)
        refused = rows[rows["what"] == "question"]
        left = Counter(self.whole.splits) - Counter(refused["split"])
        for split in SPLITS:
            if not left[split]:
                reason = refused.loc[refused["split"] == split, "reason"].iloc[0]
                raise HeadAtlasError(f"the model can read no question of split {split}: {reason}")
        return rows

    def _store(self, wanted: str | None) -> Folder:
        """Where activations and answers are: as recorded when the run began, or as `wanted` in a new run."""
        noted = None if self._record is None else self._record["store"]
        if wanted is not None and self._record is not None and wanted != noted:
            raise HeadAtlasError(
                f"{str(self.run.root)!r} keeps its activations in {noted or 'the run directory'!r}, got {wanted!r}: leave the "
                "store out, or name another folder"
            )
        return Folder.of(noted or wanted or self.run.root)


def per_split(data: CogVSR) -> dict[str, int]:
    """The number of questions in each split that a study needs; `HeadAtlasError` if one has none."""
    counts = {name: data.splits.get(name, 0) for name in SPLITS}
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise HeadAtlasError(
            f"the dataset has no question in split {', '.join(missing)}: a study needs {', '.join(SPLITS)}"
        )
    return counts


def _loaded(folder: Path, fingerprint: str) -> CogVSR | None:
    """The dataset in a folder; None unless it has this fingerprint."""
    if not folder.is_dir():
        return None
    try:
        data = load_data(str(folder))
        return data if data.fingerprint == fingerprint else None
    except (HeadAtlasError, OSError, ValueError):
        return None


class _NoImage:
    """The arm in which the question is asked without an image, which shows what the words alone give away."""

    fingerprint = "no_image"

    def __call__(self, question: Any) -> tuple[tuple[Any, ...], str]:
        return (), ""


NO_IMAGE = _NoImage()
