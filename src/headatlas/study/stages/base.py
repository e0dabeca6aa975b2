"""What a stage is, and the registry that gives stages their order.

Knows markers, not contents. A stage is done when its marker carries the fingerprint of its inputs: the model, the data, the
settings it uses, and the stages it builds on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from headatlas.errors import HeadAtlasError
from headatlas.study.study import Study


@dataclass(frozen=True)
class Stage:
    """A stage: `command` is the CLI command that runs it, `needs` the stages whose files it reads."""

    name: str
    command: str
    needs: tuple[str, ...]
    run: Callable[[Study], None]
    version: int = 1
    """Raised when the stage's meaning changes, so that old results are made anew."""

    def fingerprint(self, study: Study) -> str:
        """Hex digest of everything the stage's results depend on."""
        parts = [self.name, self.version, study.fingerprint()]
        parts += [STAGES[name].fingerprint(study) for name in self.needs]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


STAGES: dict[str, Stage] = {}


def stage(name: str, *, command: str = "", needs: tuple[str, ...] = (), version: int = 1) -> Callable:
    """Decorator that registers a stage; stages run in the order in which they are registered."""

    def register(run: Callable[[Study], None]) -> Callable[[Study], None]:
        STAGES[name] = Stage(name, command or name, needs, run, version)
        return run

    return register


def run_stage(study: Study, name: str, *, again: bool = False) -> bool:
    """Run one stage unless it is done already; return whether it ran.

    Raises:
        HeadAtlasError: A stage it needs has not run; it names the missing command.
    """
    if name not in STAGES:
        raise HeadAtlasError(f"unknown stage {name!r}: expected one of {', '.join(STAGES)}")
    chosen = STAGES[name]
    for before in chosen.needs:
        if not study.run.has_run(before):
            raise HeadAtlasError(
                f"{name!r} needs the files of {before!r}, which {str(study.run.root)!r} does not have: "
                f"run `headatlas {STAGES[before].command}` on it first"
            )
    fingerprint = chosen.fingerprint(study)
    if study.run.is_done(name, fingerprint) and not again:
        return False
    with study.run.running(name, fingerprint):
        chosen.run(study)
    return True
