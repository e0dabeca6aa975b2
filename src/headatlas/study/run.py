"""`run_study`: all stages in order, in one resumable run directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from headatlas.cluster import Workers, connect
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.study.continuing import GIVEN
from headatlas.study.plan import Plan, plan
from headatlas.study.rundir import RunDir
from headatlas.study.settings import Settings, make_settings
from headatlas.study.stages import STAGES, run_stage
from headatlas.study.study import Study
from headatlas.vlm import VLM
from headatlas.vlm.loading import Loading, loaded_as


def run_study(
    vlm: VLM | str,
    data: Any = "scenes",
    out: str | Path = "runs/study",
    *,
    preset: str = "strict",
    quick: bool = False,
    progress: Progress | None = None,
    devices: Sequence[str] | str | None = None,
    ray: str | None = None,
    store: str | Path | None = None,
    **settings: Any,
) -> Path:
    """Run the complete study and return the path of its report.html.

    Args:
        vlm: a loaded model, or the name `load_vlm` takes.
        data: a `CogVSR` with all of the splits P, S, T, E, or what `cogvsr.load` takes.
        out: run directory. A study that was interrupted there continues and ends with the same numbers.
        preset: `strict` or `paper` (the published choices).
        quick: small numbers for a first look.
        progress: see `headatlas.progress`.
        devices: devices of this machine to run on at the same time, such as `["cuda:0", "cuda:1"]`.
        ray: address of a Ray cluster to run on; `"local"` starts one here.
        store: where activations and answers are kept if not in `out`, such as `s3://bucket/run`.
        settings: fields of `Settings`, such as n=800, seed=0, n_random=100.

    Raises:
        HeadAtlasError: a setting is out of range, the data lack a split, `out` holds another run, or another process is
            working in it.
    """
    with connect(devices, ray) or nullcontext() as workers:
        study = _study(vlm, data, out, preset, quick, settings, progress=progress, workers=workers, store=store)
        run_stages(study)
    return study.run.root / "report.html"


def plan_study(
    vlm: VLM | str,
    data: Any = "scenes",
    out: str | Path = "runs/study",
    *,
    preset: str = "strict",
    quick: bool = False,
    **settings: Any,
) -> Plan:
    """What `run_study` with the same arguments would cost, stage by stage: time, memory and disk. Nothing is written.

    The model is loaded and its first batches are timed.

    Returns:
        The plan; `print(plan)` shows it, `plan.table` is a DataFrame.

    Raises:
        HeadAtlasError: as `run_study` would before it starts.
    """
    return plan(_study(vlm, data, out, preset, quick, settings))


def _study(
    vlm: VLM | str, data: Any, out: str | Path, preset: str, quick: bool, settings: dict[str, Any], **options: Any
) -> Study:
    name = vlm if isinstance(vlm, str) else vlm.name
    source = data if isinstance(data, str) else f"{GIVEN}{data.fingerprint}"
    if not isinstance(vlm, str):  # so that the run can be resumed by the model's name
        settings = {**{name: value for name, value in loaded_as(vlm).items() if isinstance(value, str)}, **settings}
    chosen = make_settings(name, preset=preset, quick=quick, data=source, **settings)
    given = {"vlm": None if isinstance(vlm, str) else vlm, "data": None if isinstance(data, str) else data}
    return Study(chosen, out, **options, **given)


def open_study(
    settings: Settings,
    out: str | Path,
    progress: Progress | None = None,
    workers: Workers | None = None,
    store: str | Path | None = None,
    loading: Loading | None = None,
) -> Study:
    """Open a run directory with these settings; nothing runs yet. Arguments as `Study`'s."""
    return Study(settings, out, progress=progress, workers=workers, store=store, loading=loading)


def run_stages(study: Study) -> list[str]:
    """Run every stage that is not done; return the names of those that ran.

    Raises:
        HeadAtlasError: as `run_stage`.
    """
    with study.run.locked():
        return [name for name in STAGES if run_stage(study, name)]


def run_command(study: Study, command: str, *, again: bool = False) -> list[str]:
    """Run the stages of one CLI command; return the names of those that ran.

    The stage `data` comes first where it has not run: every command may open a study.

    Raises:
        HeadAtlasError: as `run_stage`.
    """
    names = [name for name, stage in STAGES.items() if stage.command == command or name == "data"]
    with study.run.locked():
        return [name for name in names if run_stage(study, name, again=again and name != "data")]


def kept_settings(out: str | Path) -> Settings | None:
    """The settings of the run in `out`, None if there is none.

    Raises:
        HeadAtlasError: the run is of another version of HeadAtlas, or all files that say its settings are damaged.
    """
    record = RunDir(out).record()
    if record is None and not RunDir(out).is_run() and not (Path(out) / "settings.json").exists():
        return None
    try:
        return Settings(**(record or {})["settings"], batch_size=(record or {})["batch_size"])
    except (KeyError, ValueError, TypeError) as error:
        raise HeadAtlasError(
            f"{str(out)!r} holds a run of another version of HeadAtlas, or one whose run.json and markers are all damaged: "
            "name another folder"
        ) from error


def damaged_files(out: str | Path) -> list[str]:
    """Files of the run in `out` that are missing or not what its stages wrote; `run_stages` computes them again."""
    run = RunDir(out)
    return sorted(name for stage in STAGES for name in run.damaged(stage))
