"""Stages of a study: their record and registry, and how one is run, checked and repaired.

A stage is done when its marker has the fingerprint of its current inputs (model, data, settings, and the files of the stages that
it needs) and all files that it wrote are unchanged. Missing or changed files are computed again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry
from headatlas.storage import DamagedError, write_error
from headatlas.study.study import Study

log = logging.getLogger("headatlas")

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: its name, and that of its marker.
        command: the CLI command that runs it.
        needs: stages whose files it reads.
        run: does the work; every file it writes below the run directory is listed in its marker.
        version: increased when the stage's meaning changes, so that earlier results are computed again.
        intact: a cheap check of files that the marker does not list, such as activations.
        uses: the registered code on which its results depend, see `registered.codes`.
    """

    name: str
    command: str
    needs: tuple[str, ...]
    run: Callable[[Study], None]
    version: int = 1
    intact: Callable[[Study], bool] = lambda study: True
    uses: Callable[[Study], Any] = lambda study: None

    def fingerprint(self, study: Study, inputs: dict[str, Any] | None = None) -> str:
        """Hex digest of everything on which the stage's results depend; `inputs` is `study.fingerprint()` if it is known."""
        inputs = study.fingerprint() if inputs is None else inputs
        parts: list[Any] = [self.name, self.version, inputs, self.uses(study)]
        for name in self.needs:
            parts += [STAGES[name].fingerprint(study, inputs), study.run.outputs(name)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


STAGES: Registry[Stage] = Registry("stage")
"""All stages, in the order in which they run; `headatlas.study.stages` registers those of HeadAtlas."""


def stage(
    name: str,
    *,
    command: str = "",
    needs: tuple[str, ...] = (),
    version: int = 1,
    intact: Callable[[Study], bool] = lambda study: True,
    uses: Callable[[Study], Any] = lambda study: None,
) -> Callable[[Callable[[Study], None]], Callable[[Study], None]]:
    """Decorator that registers a stage; arguments as the attributes of `Stage`."""

    def register(run: Callable[[Study], None]) -> Callable[[Study], None]:
        STAGES.add(name, Stage(name, command or name, needs, run, version, intact, uses))
        return run

    return register


def run_stage(study: Study, name: str, *, again: bool = False) -> bool:
    """Run one stage unless it is done; return whether it ran.

    Stages that it needs, and whose files were damaged since they were written, run first.

    Raises:
        HeadAtlasError: an unknown stage, one that needs a stage that has not run (the message names the command), another
            process in the same run, or a full disk.
    """
    chosen = STAGES[name]
    with study.run.locked():
        for before in chosen.needs:
            if not study.run.has_run(before):
                raise HeadAtlasError(
                    f"{name!r} needs the files of {before!r}, which {str(study.run.root)!r} does not have: "
                    f"run `headatlas {STAGES[before].command} --out {shlex.quote(str(study.run.root))}` first"
                )
            repair(study, before)
        if not again and study.run.is_done(name, chosen.fingerprint(study)) and chosen.intact(study):
            return False
        study.begin()
        lost = study.run.clear(name)
        if lost:
            log.warning(
                "%s of %s missing or changed since written: the stage %s runs again",
                f"{', '.join(lost[:3])}{' and others' if len(lost) > 3 else ''}",
                study.run.root,
                name,
            )
        try:
            with study.run.running(name, chosen.fingerprint(study)):
                with_intact_activations(study, lambda: chosen.run(study))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EISDIR):
                raise
            raise write_error(error.filename or study.run.root, error) from error
        except BaseException:
            study.run.abandon()
            raise
    return True


def repair(study: Study, name: str) -> None:
    """Run an ended stage again if its files, or those of the stages it needs, were damaged since."""
    chosen = STAGES[name]
    if study.run.damaged(name) or not chosen.intact(study):
        run_stage(study, name)


def with_intact_activations(study: Study, work: Callable[[], T]) -> T:
    """Run `work`; if it finds damaged activations, capture them again and start over."""
    try:
        return work()
    except DamagedError as error:
        if not study.run.has_run("capture"):
            raise
        log.warning("%s; capturing again", error)
        study.forget()
        STAGES["capture"].run(study)
        study.forget()
        return work()
