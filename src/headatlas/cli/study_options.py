"""From the options of a command on a run directory to the settings of its study."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headatlas.cli.loading_options import recorded
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.cluster import Workers
    from headatlas.study import Settings
    from headatlas.vlm.loading import Loading


def read_settings(texts: list[str] | None) -> dict[str, Any]:
    """The settings given by `--set NAME=VALUE`."""
    from headatlas.study import read_setting

    return dict(read_setting(text) for text in texts or [])


def new_settings(
    model: str, given: dict[str, Any], preset: str | None, quick: bool, loading: Loading, out: Path
) -> Settings:
    """Settings of a new run; model and data are looked for, without loading weights.

    Data of the run in `out`, if there is one, need not be there any more, because it has a copy.

    Raises:
        HeadAtlasError: a setting, the model or the data cannot be used.
    """
    from headatlas.cogvsr.store import check_source
    from headatlas.study import kept_settings, make_settings

    settings = make_settings(model, preset=preset or "strict", quick=quick, **given, **recorded(loading))
    there = kept_settings(out)
    if there is None or there.data != settings.data:
        check_source(settings.data)
    loading.check(settings.model)
    return settings


def run_settings(out: Path, given: dict[str, Any], preset: str | None, quick: bool, loading: Loading) -> Settings:
    """The settings of the run in `out`, or of a new one if there is none.

    Args:
        out: run directory.
        given: options by the name of their setting, None for those that were left out; `model` is needed for a new run.
        preset: None if it was left out.
        quick: whether `--quick` was given.
        loading: how the model is loaded.

    Raises:
        HeadAtlasError: there is no run and no model, or an option contradicts the run.
    """
    from headatlas.study import change_settings, kept_settings

    there = kept_settings(out)
    if there is None:
        if given.get("model") is None:
            raise HeadAtlasError(
                f"there is no run in {str(out)!r}: name the model of a new run with --model, or another folder with --out"
            )
        model, others = given["model"], {name: value for name, value in given.items() if name != "model"}
        return new_settings(model, others, preset, quick, loading, out)
    wanted = change_settings(there, **given, **recorded(loading), preset=preset, quick=quick or None)
    for name in type(there).model_fields:
        # The batch size changes no result, so an interrupted run may continue with a smaller one.
        if name != "batch_size" and getattr(wanted, name) != getattr(there, name):
            raise HeadAtlasError(
                f"{str(out)!r} holds a run with {name}={getattr(there, name)!r}, got {getattr(wanted, name)!r}: leave the option "
                "out, or name another folder"
            )
    return wanted


def existing_settings(out: Path) -> Settings:
    """The settings of the run in `out`.

    Raises:
        HeadAtlasError: there is no run.
    """
    from headatlas.study import kept_settings

    there = kept_settings(out)
    if there is None:
        raise HeadAtlasError(
            f"there is no run in {str(out)!r}: run `headatlas study MODEL --out {shlex.quote(str(out))}` first"
        )
    return there


def loading_of(out: Path, model: str, loading: Loading) -> Loading:
    """How to load the model of the run in `out`: as the study did, on the device that the options name.

    Raises:
        HeadAtlasError: there is no run, it is of a model with another name (two folders may hold one model, and are compared when
            it is loaded), or an option contradicts it.
    """
    there = existing_settings(out)
    if model != there.model and not Path(model).is_dir() and not Path(there.model).is_dir():
        raise HeadAtlasError(
            f"{str(out)!r} holds a run of {there.model!r}, got {model!r}: name that model, or another run"
        )
    kept = {name: getattr(there, name) for name in recorded(loading)}
    for name, value in recorded(loading).items():
        if value not in (None, kept[name]):
            raise HeadAtlasError(
                f"{str(out)!r} holds a run with {name}={kept[name]!r}, got {value!r}: leave the option out, or name another run"
            )
    return replace(loading, **kept)


@contextmanager
def workers(devices: str | None, ray: str | None, n_workers: int | None) -> Iterator[Workers | None]:
    """The workers that the options name, ended with the command; None if no option was given."""
    if devices is ray is n_workers is None:
        yield None
        return
    from headatlas.cluster import connect

    with connect(devices, ray, n_workers) or nullcontext() as group:
        yield group


def result_files(out: Path) -> list[str]:
    """The files in `results/`, relative to the run directory."""
    return sorted(str(path.relative_to(out)) for path in (out / "results").glob("*"))
