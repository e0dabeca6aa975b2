"""The atlas of one model: scores of one or more scorers, the heads they select, and the files they are kept in.

Knows scores, selectors and JSON. `atlas.json` holds scores, p-values and settings in plain numbers; the null, extra
arrays and per-step scores are larger and lie beside it in `atlas.npz` (no pickle).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.scoring.base import ActivationsLike, PerSample, Progress, Scores, ScoringInputs, get_scorer
from headatlas.scoring.select import ranking, select

FORMAT = 1


@dataclass
class Atlas:
    """Scores by scorer name, in the order they were asked for; the first is the default. `model` is its name for
    people.
    """

    model: str
    scores: dict[str, Scores] = field(default_factory=dict)
    functions: tuple[str, ...] = FUNCTIONS

    @property
    def shape(self) -> tuple[int, int]:
        """(L, H) of the language tower."""
        return self.of().shape

    def of(self, scorer: str | None = None) -> Scores:
        """Scores of one scorer, by default the first. Raises `HeadAtlasError` naming those the atlas has."""
        if not self.scores:
            raise HeadAtlasError("this atlas is empty: score the activations first")
        name = next(iter(self.scores)) if scorer is None else scorer
        if name not in self.scores:
            raise HeadAtlasError(f"the atlas has no scorer {name!r}: expected one of {', '.join(self.scores)}")
        return self.scores[name]

    def heads(self, function: str, scorer: str | None = None, selector: str = "null", **options: Any) -> HeadSet:
        """The functional heads of `function`, best first. The set may be empty and then tells its `reason`.

        Raises `HeadAtlasError` for an unknown function, scorer or selector, and for selector `null` without p-values.
        """
        return select(self.of(scorer), function, selector, **options)

    def ranking(self, function: str, scorer: str | None = None) -> list[Head]:
        """All heads, highest score first."""
        return ranking(self.of(scorer), function)

    def save(self, path: str | Path) -> Path:
        """Write `atlas.json` at `path` (a folder, or a name ending in .json) and the arrays beside it; returns the
        JSON's path.
        """
        target = _json_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        scores = {}
        for name, one in self.scores.items():
            scores[name] = {
                "values": one.values.tolist(),
                "pvalues": None if one.pvalues is None else one.pvalues.tolist(),
                "info": one.info,
            }
            extra = {f"arrays/{key}": array for key, array in one.arrays.items()}
            if one.null is not None:
                extra["null"] = one.null
            if one.per_sample is not None:
                extra |= {
                    f"per_sample/{key}": getattr(one.per_sample, key) for key in ("values", "function", "cluster")
                }
            arrays |= {f"{name}/{key}": array for key, array in extra.items()}
        content = {"format": FORMAT, "model": self.model, "functions": list(self.functions), "scores": scores}
        beside = target.with_suffix(".npz.part")
        with beside.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(beside, target.with_suffix(".npz"))
        part = target.with_suffix(".json.part")
        part.write_text(json.dumps(content, default=_plain, allow_nan=False), encoding="utf-8")
        os.replace(part, target)
        return target

    @classmethod
    def load(cls, path: str | Path) -> Atlas:
        """Read what `save` wrote. Without the .npz, scores and selections are there but nulls and arrays are not."""
        source = _json_path(path)
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
            functions, entries = tuple(content["functions"]), dict(content["scores"])
        except FileNotFoundError as error:
            raise HeadAtlasError(f"no atlas at {source}: score the activations first (headatlas score)") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HeadAtlasError(f"{source} is not an atlas that HeadAtlas wrote ({error}): score again") from error
        if content.get("format") != FORMAT or functions != FUNCTIONS:
            raise HeadAtlasError(f"{source} was written by another version of HeadAtlas: score the activations again")
        kept: dict[str, np.ndarray] = {}
        if source.with_suffix(".npz").is_file():
            with np.load(source.with_suffix(".npz"), allow_pickle=False) as archive:
                kept = {key: archive[key] for key in archive.files}
        scores = {name: _scores(name, entry, kept) for name, entry in entries.items()}
        return cls(content["model"], scores, functions)


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

    `scorer`: a registered name or several (`scorers()`). `options` go to the scorer; with several scorers, give them
    by scorer: `linear={"folds": 3}`. Other arguments as in `ScoringInputs`. `model`: name for people, by default the
    VLM's or the captured one. Raises `HeadAtlasError` for unknown names, missing splits or tokens.
    """
    names = (scorer,) if isinstance(scorer, str) else tuple(scorer)
    if not names:
        raise HeadAtlasError("expected at least one scorer, got none")
    found = {name: get_scorer(name) for name in names}
    inputs = ScoringInputs(acts, tokens, fit, on, vlm, data, seed, n_null, progress)
    if len(names) > 1 and (stray := [key for key in options if key not in names]):
        raise HeadAtlasError(f"option {stray[0]!r} with several scorers: give options by scorer, as {names[0]}={{...}}")
    atlas = Atlas(str(model or getattr(vlm, "name", "") or getattr(acts, "model", "")))
    for name, function in found.items():
        own = options.get(name, {}) if name in options else (options if len(names) == 1 else {})
        try:
            atlas.scores[name] = function(inputs, **own)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise HeadAtlasError(f"scorer {name!r}: {error}") from error
            raise
    return atlas


def _json_path(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".json" else path / "atlas.json"


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
    )


def _plain(value: Any) -> Any:
    """numpy scalars and arrays in `info` as JSON can hold them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"info of a scorer may hold plain values, got {type(value).__name__}")
