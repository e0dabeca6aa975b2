"""Whether the run in a directory can be continued with the settings, the dataset and the model that are given now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headatlas import shipped
from headatlas.cogvsr import load as load_data
from headatlas.errors import HeadAtlasError
from headatlas.storage import difference
from headatlas.study.rundir import RunDir
from headatlas.study.settings import Settings, command_of
from headatlas.vlm import VLM
from headatlas.vlm.loading import loaded_as

GIVEN = "given:"
"""Prefix of the source of data that were passed as an object: they can be read again only from the run."""


def identity(settings: Settings) -> dict[str, Any]:
    """The settings on which results depend."""
    return settings.model_dump(mode="json", exclude={"batch_size"})


def model_record(vlm: VLM) -> dict[str, Any]:
    """The parts of a model's identity, so that a difference can be named."""
    return {**getattr(vlm, "identity", {}), "fingerprint": vlm.fingerprint}


def continued(settings: Settings, run: RunDir, record: dict[str, Any] | None) -> Settings:
    """The settings of the run that goes on: those given, with the names that dataset and model had when it was begun.

    A dataset may have another name now if it has the same questions; so may the folder of a model, whose weights
    `check_model` compares when it is loaded.

    Args:
        settings: given now.
        run: its directory.
        record: what the directory keeps of its run; None if there is none.

    Raises:
        HeadAtlasError: the directory holds a run with other settings, of another dataset or model, or one that cannot be read.
    """
    if record is None:
        if run.is_run() or (run.root / "settings.json").exists():
            raise HeadAtlasError(
                f"{str(run.root)!r} holds a run of another version of HeadAtlas, or one whose run.json and markers "
                "are all damaged: name another folder, or delete that one"
            )
        return settings
    renamed = {}
    for key, value in identity(settings).items():
        there = record["settings"].get(key)
        if there == value:
            continue
        if (key == "data" and _are_the_questions(settings, record)) or (key == "model" and _moved(str(there), value)):
            renamed[key] = there
            continue
        raise HeadAtlasError(
            f"{str(run.root)!r} holds a run with {key}={there!r}, this one has {key}={value!r}: name another folder, or "
            f"{_how(run, record)}"
        )
    return settings.model_copy(update=renamed)


def check_model(vlm: VLM, settings: Settings, run: RunDir, record: dict[str, Any] | None) -> None:
    """Refuse a model that is not the one that the run was begun with; the message says what differs."""
    differs = "" if record is None else difference(record["model"], model_record(vlm))
    if differs:
        here = "in another state" if vlm.name == settings.model else f"and got {vlm.name!r}, which is another one"
        raise HeadAtlasError(
            f"{str(run.root)!r} holds a run of the model {settings.model!r} {here} ({differs}): "
            "continue it with the model as it was, or name another folder"
        )


def check_loaded(vlm: VLM, settings: Settings) -> None:
    """Refuse settings that would say of a given model what is not true of it."""
    for name, own in loaded_as(vlm).items():
        wanted = getattr(settings, name)
        if wanted is not None and wanted != (
            own or (str(vlm.dtype).removeprefix("torch.") if name == "dtype" else None)
        ):
            raise HeadAtlasError(
                f"{name} must be that of the given model ({vlm!r}), got {wanted!r}: load the model with it, or pass its name"
            )


def _moved(before: str, now: str) -> bool:
    """Whether a model that cannot be found in its place may be the one in the folder `now`."""
    return Path(now).expanduser().is_dir() and before not in shipped.known() and not Path(before).expanduser().exists()


def _are_the_questions(settings: Settings, record: dict[str, Any]) -> bool:
    """Whether a dataset of another name has the questions that the run was begun with."""
    source, wanted = settings.data, record["data_fingerprint"]
    if source.startswith(GIVEN):
        return source == f"{GIVEN}{wanted}"
    try:
        return load_data(source, n=settings.n, seed=settings.seed).fingerprint == wanted
    except (HeadAtlasError, OSError, ValueError):
        return False


def _how(run: RunDir, record: dict[str, Any]) -> str:
    """How the run that is there is continued, for messages."""
    there = Settings(**record["settings"])
    if there.data.startswith(GIVEN):
        return "call run_study with the settings of that run and the same data to continue it"
    return f"continue it with: {command_of(there, run.root)}"
