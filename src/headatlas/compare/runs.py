"""Reads the runs that are compared: names them, checks that they are finished, and finds the settings that differ."""

from __future__ import annotations

import shlex
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.report.blocks import headline_selector
from headatlas.report.one_task import is_one_task
from headatlas.report.sections.provenance import flatten
from headatlas.report.tables import Run, only, read_run
from headatlas.scoring import Atlas, Scores
from headatlas.study.run import kept_settings
from headatlas.study.settings import command_of

NEEDED = ("scores", "selection", "sparsity", "baseline")
"""Tables without which, and without claims.json, nothing can be compared. If another is missing, the page says so."""

OWN = frozenset(
    (
        "model",
        "model_fingerprint",
        "family",
        "shape",
        "d_head",
        "kv_heads",
        "batch_size",
        "threads",
        "device",
        "n_examples",
    )
)
"""Settings that belong to a model or a machine, not to the way it was studied."""

MEANING = {
    "data.fingerprint": "the questions: accuracies, drops and claims then rest on different questions",
    "tokens": "at which tokens heads were scored: scores then mean different things",
    "selector": "how heads were selected: counts then mean different things",
    "operation": "how heads were silenced: drops then mean different things",
    "head_share": "how many heads a silenced set has at most: drops then mean different things",
    "preset": "the published choices or the strict ones",
    "quick": "a quick run has small samples and wide intervals",
    "probe": "how the paper's probe was read",
    "n_random": "with how many random sets an effect was compared",
    "n_control_questions": "on how many questions random sets were run",
    "versions.headatlas": "the version of HeadAtlas",
    "dtype": "the precision of numbers while the model ran",
}
"""What it means for a comparison when a setting differs."""


@dataclass(frozen=True)
class Model:
    """One finished run.

    Attributes:
        label: the model's name on the page.
        run: the run's tables and settings.
        scores: float[F, L, H] for each scorer, NaN where the run has no score.
        selected: bool[F, L, H] for each scorer, the heads selected by the study's selector.
        atlas: the run's `Scores` for each scorer, with the contribution of each question; empty if the run has no atlas.
    """

    label: str
    run: Run
    scores: dict[str, Float[np.ndarray, "F L H"]]
    selected: dict[str, Bool[np.ndarray, "F L H"]]
    atlas: dict[str, Scores]

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H) of the language tower."""
        return next(iter(self.scores.values())).shape[1:]

    def __repr__(self) -> str:
        layers, heads = self.shape
        return f"<Model {self.label!r}: {layers} x {heads} heads, scorers {', '.join(self.scores)}>"

    @property
    def seed(self) -> int:
        """The study's seed."""
        seed = self.run.settings.get("seed")
        return seed if isinstance(seed, int) else 0


def _finishes(run: Run) -> str:
    """The command that finishes a run; only its model and folder where its settings cannot be read."""
    try:
        settings = kept_settings(run.path)
    except HeadAtlasError:  # of another version
        settings = None
    if settings is not None:
        return command_of(settings, run.path)
    return shlex.join(["headatlas", "study", str(run.settings.get("model") or "MODEL"), "--out", str(run.path)])


def read_models(paths: Sequence[str | Path]) -> list[Model]:
    """The models of the finished run directories `paths`, in their order.

    Raises:
        HeadAtlasError: fewer than two runs, one given twice, no run directory, a run that is unfinished or damaged, or runs of
            questions with functions and without.
    """
    if len(paths) < 2:
        raise HeadAtlasError(f"a comparison needs at least two runs, got {len(paths)}")
    places = [Path(path).resolve() for path in paths]
    if twice := [str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1]:
        raise HeadAtlasError(f"the runs of a comparison must be different, got {twice[0]!r} {len(twice)} times")
    runs = [read_run(Path(path)) for path in paths]
    for run in runs:
        missing = [f"results/{name}.csv" for name in NEEDED if run.tables[name].empty]
        missing += [] if run.claims else ["claims.json"]
        if missing:
            raise HeadAtlasError(
                f"the run in {str(run.path)!r} is not finished, {', '.join(missing)} is missing or empty: "
                f"run `{_finishes(run)}` first"
            )
    tasks = [run for run in runs if is_one_task(run)]
    if 0 < len(tasks) < len(runs):
        named = next(run for run in runs if not is_one_task(run))
        raise HeadAtlasError(
            f"the questions of {str(tasks[0].path)!r} name no functions and those of {str(named.path)!r} do: compare runs of "
            "one kind"
        )
    return [_model(label, run) for label, run in zip(labels(runs), runs, strict=True)]


def labels(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: the last part of the model's name, with the folder's name if two are the same."""
    short = [PurePath(str(run.settings.get("model") or run.path.name)).name or run.path.name for run in runs]
    many = Counter(short)
    names = [name if many[name] == 1 else f"{name} ({run.path.name})" for name, run in zip(short, runs, strict=True)]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name} {seen[name]}"
    return names


def differences(models: Sequence[Model]) -> pd.DataFrame:
    """Every setting in which the runs differ: setting, model, value, meaning. Empty if all were studied in the same way."""
    settings = [dict(flatten(model.run.settings)) for model in models]
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = []
    for key in keys:
        # The fingerprint covers the source and the size of the data.
        if key in OWN or (key.startswith("data.") and key != "data.fingerprint"):
            continue
        values = [one.get(key, "not recorded") for one in settings]
        if len(set(values)) > 1:
            meaning = MEANING.get(key, "")
            rows += [(key, model.label, value, meaning) for model, value in zip(models, values, strict=True)]
    return pd.DataFrame(rows, columns=["setting", "model", "value", "meaning"])


def _model(label: str, run: Run) -> Model:
    frame = run.tables["scores"]
    place = {name: i for i, name in enumerate(FUNCTIONS)}
    wrong = set(frame["function"]) - set(place)
    if wrong:
        name = f", got the function {sorted(map(str, wrong))[0]!r}" if wrong else ""
        raise HeadAtlasError(
            f"results/scores.csv of {str(run.path)!r} must hold scores of the eight functions{name}: run the study again"
        )
    shape = (len(FUNCTIONS), int(frame["layer"].max()) + 1, int(frame["head"].max()) + 1)
    scores, selected = {}, {}
    for scorer in dict.fromkeys(frame["scorer"]):
        rows = only(frame, scorer=scorer)
        values = np.full(shape, np.nan)
        values[rows["function"].map(place), rows["layer"].astype(int), rows["head"].astype(int)] = rows["value"]
        scores[scorer] = values
        chosen = only(run.tables["selection"], scorer=scorer, selector=headline_selector(run, scorer))
        selected[scorer] = _masks(chosen, shape, place, run)
    return Model(label, run, scores, selected, _atlas(run, shape[1:]))


def _masks(
    rows: pd.DataFrame, shape: tuple[int, int, int], place: dict[str, int], run: Run
) -> Bool[np.ndarray, "F L H"]:
    mask = np.zeros(shape, dtype=bool)
    for function, heads in zip(rows["function"], rows["heads"], strict=True):
        for head in map(Head.parse, str(heads).split()):
            if function not in place or head.layer >= shape[1] or head.head >= shape[2]:
                raise HeadAtlasError(
                    f"results/selection.csv of {str(run.path)!r} names {head}, which its scores do not have: run the study again"
                )
            mask[place[function], head.layer, head.head] = True
    return mask


def _atlas(run: Run, shape: tuple[int, int]) -> dict[str, Scores]:
    if not (run.path / "atlas.json").is_file():
        return {}
    try:
        by_scorer = Atlas.load(run.path).scores
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile, zlib.error) as error:
        raise HeadAtlasError(
            f"the atlas of {str(run.path)!r} (atlas.json, atlas.npz) is damaged ({error}): "
            f"run `headatlas score --again --out {shlex.quote(str(run.path))}`"
        ) from error
    return {name: scores for name, scores in by_scorer.items() if scores.shape == shape}
