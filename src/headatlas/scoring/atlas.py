"""The atlas of one model: the scores of one or more scorers, the heads selected from them, and how they are saved.

`atlas.json` holds scores, p-values and settings in plain numbers. The null, extra arrays and per-step scores are larger
and are in `atlas.npz` (no pickle), whose SHA-256 the JSON file holds.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.plain_json import plain
from headatlas.progress import Progress
from headatlas.registry import near
from headatlas.scoring.base import ActivationsLike, PerSample, Scores, ScoringInputs, get_scorer
from headatlas.scoring.select import ranking, select
from headatlas.storage import read_regular

FORMAT = 2

SHOWN = 6
"""Heads of a function that are printed."""

PARTS = ("values", "function", "cluster")
"""Arrays of `PerSample`."""


@dataclass(repr=False)
class Atlas:
    """Scores by scorer name, in the order in which they were asked for; the first is the default.

    Attributes:
        model: the model's name.
        scores: by name of the scorer.
        functions: the names along axis F of every scorer's scores.
    """

    model: str
    scores: dict[str, Scores] = field(default_factory=dict)
    functions: tuple[str, ...] = FUNCTIONS

    def __repr__(self) -> str:
        if not self.scores:
            return f"Atlas of {self.model or 'a model'}: empty"
        layers, heads = self.shape
        lines = [
            f"Atlas of {self.model or 'a model'}: {layers} layers x {heads} heads, scored by {', '.join(self.scores)}"
        ]
        lines += [f"heads by {next(iter(self.scores))}:"]
        lines += [f"  {function:24s} {text}" for function, text in self._summary()]
        return "\n".join([*lines, "  .heads(function, scorer, selector) selects, .scores[name] has the numbers"])

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks."""
        if not self.scores:
            return f"<p>{html.escape(repr(self))}</p>"
        layers, heads = self.shape
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(function.replace("_", " "))}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td></tr>'
            for function, text in self._summary()
        )
        title = (
            f"Atlas of {self.model or 'a model'}: {layers} layers × {heads} heads, heads by {next(iter(self.scores))}"
        )
        return f'<table><caption style="text-align:left">{html.escape(title)}</caption>{rows}</table>'

    def _summary(self) -> list[tuple[str, str]]:
        """Each function with its heads by the first scorer; where none is above chance, with the highest."""
        rows = []
        for function in self.functions:
            chosen = [str(head) for head in self.heads(function)]
            more = f" and {len(chosen) - SHOWN} more" if len(chosen) > SHOWN else ""
            highest = ", ".join(str(head) for head in self.ranking(function)[:3])
            tested = self.of().pvalues is not None
            none = f"{'none above chance' if tested else 'not tested against chance'}; the highest are {highest}"
            rows.append((function, f"{', '.join(chosen[:SHOWN])}{more}" if chosen else none))
        return rows

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H) of the tower that was scored, the language model unless its activations were captured from another."""
        return self.of().shape

    def of(self, scorer: str | None = None) -> Scores:
        """Scores of one scorer, by default the first. Raises `HeadAtlasError` naming those the atlas has."""
        if not self.scores:
            raise HeadAtlasError("this atlas is empty; score the activations first")
        name = next(iter(self.scores)) if scorer is None else scorer
        if name not in self.scores:
            names = list(self.scores)
            raise HeadAtlasError(
                f"scorer must be one of the atlas ({', '.join(names)}), got {name!r}{near(name, names)}"
            )
        return self.scores[name]

    def heads(self, function: str, scorer: str | None = None, selector: str = "null", **options: Any) -> HeadSet:
        """The functional heads of `function`, best first; the `reason` of an empty set says why it is empty.

        Raises `HeadAtlasError` for an unknown function, scorer or selector.
        """
        return select(self.of(scorer), function, selector, **options)

    def ranking(self, function: str, scorer: str | None = None) -> list[Head]:
        """All heads, highest score first."""
        return ranking(self.of(scorer), function)

    def save(self, path: str | Path) -> Path:
        """Write `atlas.json` at `path` (a folder, or a name that ends in .json) and the arrays as .npz next to it.

        Returns the path of the JSON file.
        """
        target = _json_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        scores = {}
        for name, one in self.scores.items():
            scores[name] = {
                "values": one.values.tolist(),
                "pvalues": None if one.pvalues is None else one.pvalues.tolist(),
                "info": plain(one.info),  # NaN, such as the interval of too few values, becomes null
                "tower": one.tower,
            }
            extra = {f"arrays/{key}": array for key, array in one.arrays.items()}
            if one.null is not None:
                extra["null"] = one.null
            if one.per_sample is not None:
                extra |= {f"per_sample/{key}": getattr(one.per_sample, key) for key in PARTS}
            arrays |= {f"{name}/{key}": array for key, array in extra.items()}
        unfinished = target.with_suffix(".npz.part")
        with unfinished.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]
        digest = _digest(unfinished)
        os.replace(unfinished, target.with_suffix(".npz"))
        content = {
            "format": FORMAT,
            "model": self.model,
            "functions": list(self.functions),
            "scores": scores,
            "arrays": {"file": target.with_suffix(".npz").name, "sha256": digest},
        }
        part = target.with_suffix(".json.part")
        part.write_text(json.dumps(content, default=_plain, allow_nan=False), encoding="utf-8")
        os.replace(part, target)
        return target

    @classmethod
    def load(cls, path: str | Path, *, arrays: bool = True) -> Atlas:
        """Read what `save` wrote.

        Args:
            path: the JSON file, or its folder.
            arrays: False: read the JSON file only, without nulls, extra arrays and per-step scores.

        Raises:
            HeadAtlasError: no atlas, a damaged one, one of another version, or a .npz file that is missing or does not belong to
                it.
        """
        source = _json_path(path)
        try:
            content = json.loads(read_regular(source).decode("utf-8"))
            functions, entries = tuple(content["functions"]), dict(content["scores"])
        except FileNotFoundError as error:
            raise HeadAtlasError(f"no atlas at {source}; score the activations first (headatlas score)") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HeadAtlasError(f"{source} is not an atlas that HeadAtlas wrote ({error}); score again") from error
        if content.get("format") != FORMAT or functions != FUNCTIONS:
            raise HeadAtlasError(f"{source} was written by another version of HeadAtlas; score the activations again")
        try:
            stored = _arrays(source, content["arrays"]["sha256"]) if arrays else {}
            scores = {name: _scores(name, entry, stored) for name, entry in entries.items()}
            return cls(str(content["model"]), scores, functions)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise HeadAtlasError(f"{source} is not an atlas that HeadAtlas wrote ({error}); score again") from error


def score(
    acts: ActivationsLike,
    scorer: str | Sequence[str] = "paper",
    *,
    tokens: str = "gold",
    fit: str = "P",
    on: str = "S",
    vlm: Any = None,
    data: Any = None,
    seed: int = 0,
    n_null: int | None = None,
    progress: Progress | None = None,
    model: str | None = None,
    **options: Any,
) -> Atlas:
    """Score every head for every function and return the atlas.

    Args:
        acts: captured activations.
        scorer: a registered name, or several (`scorers()`).
        tokens, fit, on, vlm, data, seed, n_null, progress: see `ScoringInputs`.
        model: the model's name; by default that of `vlm`, or of the model that `acts` was captured from.
        options: for the scorer; with several scorers give them by scorer, as `linear={"folds": 3}`.

    Raises:
        HeadAtlasError: an unknown scorer or option, or a split or token selection that was not captured.
    """
    names = (scorer,) if isinstance(scorer, str) else tuple(scorer)
    if not names:
        raise HeadAtlasError("scorer must name at least one scorer, got none")
    chosen = {name: get_scorer(name) for name in names}
    inputs = ScoringInputs(acts, tokens, fit, on, vlm, data, seed, n_null, progress)
    if len(names) > 1 and (stray := [key for key in options if key not in names]):
        raise HeadAtlasError(f"option {stray[0]!r} with several scorers; give options by scorer, as {names[0]}={{...}}")
    atlas = Atlas(str(model or getattr(vlm, "name", "") or getattr(acts, "model", "")))
    grid = tuple(acts.shape[1:3]) if hasattr(acts, "shape") else None  # type: ignore[attr-defined]
    for name, function in chosen.items():
        own = options.get(name, {}) if name in options else (options if len(names) == 1 else {})
        try:
            atlas.scores[name] = function(inputs, **own)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise HeadAtlasError(f"scorer {name!r}: {error}") from error
            raise
        if grid is not None and atlas.scores[name].shape != grid:
            raise HeadAtlasError(
                f"scorer {name!r} must return scores of {grid[0]} layers x {grid[1]} heads, as captured; "
                f"got {atlas.scores[name].shape[0]} x {atlas.scores[name].shape[1]}"
            )
        atlas.scores[name] = replace(atlas.scores[name], name=name, tower=inputs.tower)
    return atlas


def _json_path(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".json" else path / "atlas.json"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _arrays(source: Path, sha256: str) -> dict[str, np.ndarray]:
    """The arrays of the atlas at `source`, from the .npz file whose digest it holds."""
    file = source.with_suffix(".npz")
    if not file.is_file():
        raise HeadAtlasError(f"{file}, which belongs to {source}, is missing; score again, or load with arrays=False")
    if _digest(file) != sha256:
        raise HeadAtlasError(f"{file} is not the file that was written with {source}; score again")
    with np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _scores(name: str, entry: dict[str, Any], kept: dict[str, np.ndarray]) -> Scores:
    own = {key.removeprefix(f"{name}/"): array for key, array in kept.items() if key.startswith(f"{name}/")}
    sample = {key.removeprefix("per_sample/"): array for key, array in own.items() if key.startswith("per_sample/")}
    return Scores(
        name=name,
        values=np.array(entry["values"], dtype=np.float64),
        null=own.get("null"),
        pvalues=None if entry["pvalues"] is None else np.array(entry["pvalues"], dtype=np.float64),
        info=entry["info"],
        arrays={key.removeprefix("arrays/"): array for key, array in own.items() if key.startswith("arrays/")},
        per_sample=PerSample(**sample) if sample else None,
        tower=entry.get("tower", "L"),
    )


def _plain(value: Any) -> Any:
    """What else `info` may hold, as JSON can hold it."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"info of a scorer must hold plain values, got {type(value).__name__}")
