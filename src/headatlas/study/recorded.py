"""A study for stages that only read tables: model and data are taken from the run's record and loaded only when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headatlas.progress import Progress
from headatlas.study.continuing import identity
from headatlas.study.settings import Settings
from headatlas.study.study import Study
from headatlas.vlm.loading import Loading


class RecordedStudy(Study):
    """A study of an existing run, which loads the model only if a stage needs it.

    The model is then checked against the record, as in any study.
    """

    def fingerprint(self) -> dict[str, Any]:
        """Identity of model, data and settings, from the run's record."""
        record = self._record
        if record is None:
            return super().fingerprint()
        return {
            "model_fingerprint": record["model"]["fingerprint"],
            "data_fingerprint": record["data_fingerprint"],
            **identity(self.settings),
        }

    def begin(self) -> None:
        """Do nothing for a run that was begun; begin any other."""
        if self._record is None:
            super().begin()


def open_recorded(
    settings: Settings, out: str | Path, progress: Progress | None = None, loading: Loading | None = None
) -> Study:
    """Open the run in `out` without its model. Arguments as for `Study`.

    Raises:
        HeadAtlasError: `out` holds a run of another model, dataset or settings.
    """
    return RecordedStudy(settings, out, progress=progress, loading=loading)
