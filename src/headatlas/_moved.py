"""Old import paths of headatlas 0.1 keep working for one release, with a DeprecationWarning that names the new path."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "headatlas.cogvsr.parsing": "headatlas.answers.parsing",
    "headatlas.cogvsr.thoughts": "headatlas.answers.thoughts",
    "headatlas.cogvsr.metrics": "headatlas.answers.metrics",
    "headatlas.cogvsr.pictures": "headatlas.pictures",
    "headatlas.cogvsr.scenes": "headatlas.scenes",
    "headatlas.cogvsr.importing": "headatlas.importing",
    "headatlas.cogvsr.decompose": "headatlas.annotate.decompose",
    "headatlas.cogvsr.judge": "headatlas.annotate.judge",
    "headatlas.llm": "headatlas.annotate.llm",
    "headatlas.review": "headatlas.annotate.review",
    "headatlas.models": "headatlas.proof",
    "headatlas.models.real": "headatlas.proof.processor",
    "headatlas.vlm.reference": "headatlas.reference",
    "headatlas.vlm.along": "headatlas.vlm.positions",
    "headatlas.vlm.manners": "headatlas.families",
    "headatlas.models.adapters": "headatlas.families",
    "headatlas.models.family": "headatlas.proof.prove",
    "headatlas.models.real.families": "headatlas.families",
    "headatlas.cogvsr.scenes.families": "headatlas.scenes.question_types",
    "headatlas.activations.spread": "headatlas.activations.sharding",
    "headatlas.intervention.held": "headatlas.intervention.split_cache",
    "headatlas.intervention.together": "headatlas.intervention.batched_answers",
    "headatlas.intervention.spread": "headatlas.intervention.sharding",
    "headatlas.truth.surgery": "headatlas.vlm.surgery",
    "headatlas.latent.detect": "headatlas.latent.detectors",
    "headatlas.latent.latent": "headatlas.latent.idle",
    "headatlas.latent.sha": "headatlas.latent.methods.sha",
    "headatlas.compare.many": "headatlas.compare.studies",
    "headatlas.compare.within": "headatlas.compare.per_model",
    "headatlas.compare.across": "headatlas.compare.likeness",
    "headatlas.compare.permute": "headatlas.compare.chance",
    "headatlas.report.comparison": "headatlas.compare.sections",
}
"""Modules and packages by their old names; the longest match counts."""

RENAMED = {
    "headatlas.vlm.model": {"as_image": "headatlas.pictures.open_picture"},
    "headatlas.storage": {"Folder": "headatlas.folder.Folder"},
    "headatlas.stats": {"bh": "headatlas.stats.benjamini_hochberg"},
    "headatlas.cogvsr.rows": {"encode_image": "headatlas.pictures.encode"},
    "headatlas.intervention.condition": {"Runner": "headatlas.intervention.runner.Runner"},
    "headatlas.proof": {
        "check_real": "headatlas.proof.processor.check.check_processor",
        "write_real": "headatlas.proof.processor.build.write_checkpoint",
    },
    "headatlas.proof.processor": {
        "RealReport": "headatlas.proof.processor.check.ProcessorReport",
        "check_real": "headatlas.proof.processor.check.check_processor",
        "write_real": "headatlas.proof.processor.build.write_checkpoint",
    },
    "headatlas.proof.processor.build": {
        "write_real": "headatlas.proof.processor.build.write_checkpoint",
    },
}
"""Names that modules of today had in 0.1, and where their things are now."""


def new_name(name: str) -> str | None:
    """The new path of a module, None if it was not moved."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        moved = MOVED.get(".".join(parts[:length]))
        if moved:
            return ".".join([moved, *parts[length:]])
    return None


def old_names(module: str) -> Callable[[str], Any]:
    """A module's `__getattr__`, by which its `RENAMED` names still work."""

    def look_up(attribute: str) -> Any:
        moved = RENAMED[module].get(attribute)
        if moved is None:
            raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
        warnings.warn(f"{module}.{attribute} is now {moved}", DeprecationWarning, stacklevel=2)
        home, _, name = moved.rpartition(".")
        return getattr(import_module(home), name)

    return look_up


class _Finder(MetaPathFinder, Loader):
    """Finds modules by their old names; what it makes looks everything up in the new module."""

    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if new_name(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = new_name(module.__name__)
        assert name is not None
        warnings.warn(f"{module.__name__} is now {name}", DeprecationWarning, stacklevel=2)
        moved = import_module(name)
        module.__dict__["__getattr__"] = lambda attribute: getattr(moved, attribute)
        module.__dict__["__dir__"] = lambda: dir(moved)


def install() -> None:
    """Find modules by their old names from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
