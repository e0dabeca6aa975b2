"""Stage `capture`: z of every head at the chosen tokens of every step of every split, from one pass per question."""

from __future__ import annotations

from headatlas.activations import Activations, capture
from headatlas.errors import HeadAtlasError
from headatlas.study.stages.base import stage
from headatlas.study.study import Study

TOKENS = ("predict", "gold", "all")
"""Selections that are always captured. Mean ablation acts on every token, so its means are those of the selection `all`."""


def is_finished(study: Study) -> bool:
    """Whether a finished capture is there; its z is checked when it is read."""
    try:
        Activations.open(study.store.at("capture").where)
    except HeadAtlasError:
        return False
    return True


@stage("capture", needs=("data",), intact=is_finished)
def run(study: Study) -> None:
    """Write RUN/capture."""
    tokens = tuple(dict.fromkeys((study.settings.tokens, *TOKENS)))
    out, batch_size = study.store.at("capture").where, study.settings.batch_size
    study.acts = capture(
        study.vlm, study.data, tokens, out=out, batch_size=batch_size, progress=study.report, workers=study.workers
    )
