"""`run_studies`: a study of each of several models, then their comparison, all in one folder.

Each model's run directory is an ordinary one: it can be resumed, has its own report, and every stage command works on it.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from headatlas.cogvsr.store import check_source
from headatlas.compare.tables import FOLDER
from headatlas.compare.write import compare_runs, refuse_run
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.study import make_settings, open_study, run_stages
from headatlas.vlm.loading import Loading


def run_studies(
    models: Sequence[str],
    out: str | Path = "runs/study",
    *,
    preset: str = "strict",
    quick: bool = False,
    progress: Progress | None = None,
    workers: Any = None,
    store: str | Path | None = None,
    loading: Loading | None = None,
    **settings: Any,
) -> Path:
    """Study every model in `out/<name>` and compare them; return the path of `out/report.html`.

    Args:
        models: names that `load_vlm` takes, at least two.
        out: folder for the run directories, `comparison/` and `report.html`. Unfinished studies in it are resumed.
        preset, quick, settings: as in `run_study`, the same for every model.
        progress: see `headatlas.progress`.
        workers: as in `open_study`; they take one model after the other.
        store: as in `open_study`; every model has a folder of its own in it.
        loading: as in `open_study`, the same for every model.

    Raises:
        HeadAtlasError: fewer than two models, one given twice, a name that is no VLM, a setting out of range, or a folder
            that holds another run. All of this is checked before the first study starts.
    """
    names, root = folders(models), Path(out)
    refuse_run(root)
    chosen = [make_settings(model, preset=preset, quick=quick, **settings) for model in models]
    check_source(chosen[0].data)
    for one in chosen:
        replace(loading or Loading(), revision=one.revision).check(one.model)
    # All are opened before the first one runs, so that a folder that holds another run is an error now, not hours later.
    studies = []
    for one, name in zip(chosen, names, strict=True):
        where = {"workers": workers, "store": None if store is None else f"{store}/{name}", "loading": loading}
        given = {key: value for key, value in where.items() if value is not None}
        studies.append(open_study(one, root / name, progress=_named(progress, name), **given))
    while studies:
        run_stages(studies.pop(0))
        gc.collect()  # frees the memory of this model before the next one is loaded
    return compare_runs([root / name for name in names], root)


def folders(models: Sequence[str]) -> list[str]:
    """The folder of each model's run: the last part of its name, or the whole name if two models share that part."""
    if len(models) < 2:
        raise HeadAtlasError(f"a comparison needs at least two models, got {len(models)}")
    if twice := [model for model, times in Counter(models).items() if times > 1]:
        raise HeadAtlasError(
            f"the models of a comparison must be different, got {twice[0]!r} {models.count(twice[0])} times"
        )
    last = [
        name if (name := PurePath(model).name) not in ("", "..") else Path(model).resolve().name or "root"
        for model in models
    ]
    shared = Counter(last)
    names = [
        name if shared[name] == 1 else "--".join(part for part in PurePath(model).parts if part != "/")
        for name, model in zip(last, models, strict=True)
    ]
    return [f"model-{name}" if name in (FOLDER, "report.html") else name for name in names]


def _named(progress: Progress | None, name: str) -> Progress | None:
    return None if progress is None else lambda what, done, total: progress(f"{name}, {what}", done, total)
