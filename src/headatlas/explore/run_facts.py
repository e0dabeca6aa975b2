"""What a study's run directory says about each head: scores, effects by function, selected heads, redundant groups."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, TASK_TITLE, TITLES
from headatlas.errors import HeadAtlasError
from headatlas.explore.run_sweeps import sweeps_document
from headatlas.intervention import Directions, directions
from headatlas.scoring import Atlas
from headatlas.storage import held_for_reading
from headatlas.study.run import kept_settings
from headatlas.study.rundir import RunDir
from headatlas.study.settings import Settings
from headatlas.study.stages.methods import RECIPES
from headatlas.study.study import Study
from headatlas.vlm.model import VLM

SHOWN = ("capture", "score", "select")
"""Stages whose files are read after the run was opened."""


def check_run(out: str | Path) -> Settings:
    """The settings of a run that can be explored; needs no model.

    Raises:
        HeadAtlasError: there is no run, or it has no scores.
    """
    settings = kept_settings(out)
    if settings is None:
        raise HeadAtlasError(f"{str(out)!r} must be the run directory of a study, got a folder without one")
    if not RunDir(out).has_run("score"):
        raise HeadAtlasError(
            f"{str(out)!r} has no scores yet: run `headatlas score --out {shlex.quote(str(out))}` first"
        )
    return settings


class RunFacts:
    """The tables of a run, by head.

    Raises `HeadAtlasError` where there is no run with scores, it is of another model, or another process is working in it. What
    is read later raises it too if the run has been computed again in the meantime.
    """

    def __init__(self, out: str | Path, vlm: VLM) -> None:
        settings = check_run(out)
        self.where = str(out)
        self.study = Study(settings, out, vlm=vlm)
        with held_for_reading(self.study.run.root, "run"):
            check_run(out)  # nobody writes now
            self._outputs, self._reading = self._now(), threading.RLock()
            self.atlas: Atlas = self.study.atlas
            self._titles = {**TITLES, SPATIAL[0]: TASK_TITLE} if self.study.one_task else TITLES
            self.sweeps = sweeps_document(self.study.run.root, self._titles)

    @property
    def data_name(self) -> str:
        """What the run's questions are loaded by."""
        return str(self.study.run.root / "data")

    def recipes(self) -> list[Path]:
        """The folders of the head recipes that the study wrote."""
        return sorted((self.study.run.root / RECIPES).glob("*.recipe"))

    def document(self) -> dict[str, Any]:
        """All of it for the page: scores `[L][H]` by scorer and function, the selected heads, redundant groups, sweeps."""
        with self._unchanged():
            return self._document()

    def _document(self) -> dict[str, Any]:
        titles = self.study.run.read_table("scorers")
        labels = dict(zip(titles["scorer"], titles["label"], strict=True)) if len(titles) else {}
        units = dict(zip(titles["scorer"], titles["unit"], strict=True)) if len(titles) else {}
        scorers = []
        for name, scores in self.atlas.scores.items():
            values = {f: scores.values[i].round(5).tolist() for i, f in enumerate(self.atlas.functions)}
            unit = units.get(name)
            scorers.append(
                {
                    "name": name,
                    "label": str(labels.get(name, name)),
                    "unit": unit if isinstance(unit, str) else "",
                    "values": values,
                }
            )
        return {
            "where": self.where,
            "scorers": scorers,
            "selected": self._selected(),
            "groups": self._groups(),
            "sweeps": self.sweeps,
            "steer": {f: self._why_not(f) for f in FUNCTIONS},
        }

    def _selected(self) -> dict[str, dict[str, list[str]]]:
        """By scorer and function: the heads that the study's selector chose."""
        table = self.study.run.read_table("selection")
        selected: dict[str, dict[str, list[str]]] = {}
        for row in table.to_dict("records"):
            if row["selector"] == self.study.settings.selector and isinstance(row["heads"], str):
                selected.setdefault(row["scorer"], {})[row["function"]] = row["heads"].split()
        return selected

    def _groups(self) -> list[dict[str, Any]]:
        """Redundant groups that the scorer `multihead` found: function, heads, joint damage and damage alone."""
        groups = []
        for name, scores in self.atlas.scores.items():
            for function, group in (scores.info.get("groups") or {}).items():
                if isinstance(group, dict) and group.get("heads"):
                    groups.append(
                        {"scorer": name, "function": function, "title": self._titles.get(function, function), **group}
                    )
        return groups

    def _why_not(self, function: str) -> str:
        """Why there is no direction to steer along; empty if there is one."""
        try:
            return self.directions(function).reason
        except HeadAtlasError as error:
            return str(error)

    def directions(self, function: str) -> Directions:
        """From wrong to right answers of a function, from split P (`intervention.directions`)."""
        if function not in FUNCTIONS:
            raise HeadAtlasError(f"function must be one of {', '.join(FUNCTIONS)}, got {function!r}")
        with self._unchanged():
            return _directions(self, function)

    def _now(self) -> dict[str, str]:
        """The digests of what the stages wrote that the page shows."""
        return {stage: self.study.run.outputs(stage) for stage in SHOWN}

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        with self._reading, held_for_reading(self.study.run.root, "run"):
            if self._now() != self._outputs:
                raise HeadAtlasError(
                    f"the run {self.where!r} has been computed again since it was opened: open it again"
                )
            yield

    def snippet(self, functions: list[str]) -> list[str]:
        """Code that makes `directions`, a dict by function."""
        capture = str(self.study.store.at("capture").where)
        tokens = self.study.settings.tokens
        names = ", ".join(map(repr, functions))
        return [
            f"acts = ha.Activations.open({capture!r})",
            "from headatlas.intervention import directions as directions_of",
            f"directions = {{name: directions_of(acts, name, tokens={tokens!r}) for name in ({names},)}}",
        ]


@lru_cache(maxsize=32)
def _directions(run: RunFacts, function: str) -> Directions:
    return directions(run.study.acts, function, tokens=run.study.settings.tokens)
