"""Stage `data`: the questions are built or read, those that the model cannot be asked are listed, and their wording is tried."""

from __future__ import annotations

import logging

import pandas as pd

from headatlas.cogvsr import load
from headatlas.cogvsr.surface import answer_without_image, function_from_text
from headatlas.intervention.towers import towers_of
from headatlas.study.stages.base import stage
from headatlas.study.study import Study

log = logging.getLogger("headatlas")


@stage("data", command="evaluate", version=2)
def run(study: Study) -> None:
    """Write RUN/data, settings.json, results/left_out.csv and surface.csv."""
    study.report("data", 0, 1)
    towers_of(study.vlm, study.settings.towers)  # raises for a tower that the model lacks
    left_out = study.find_left_out()
    folder = study.run.root / "data"
    study.whole.save(folder)
    study.whole = load(str(folder))
    study.run.write_table("left_out", left_out)
    study.__dict__.pop("data", None)
    for row in left_out.itertuples():
        log.warning("left out: %s %r: %s", row.what, row.name, row.reason)
    study.write_settings()
    study.run.write_table("surface", _surface(study))
    study.report("data", 1, 1)


def _surface(study: Study) -> pd.DataFrame:
    """How well words alone predict a step's function and a question's answer, fitted on split P and tried on split E."""
    fit, test = study.data.split("P"), study.data.split("E")
    steps = function_from_text(fit.steps(), test.steps())
    tables = [steps, answer_without_image(fit.without_images(), test.without_images())]
    return pd.concat(tables, ignore_index=True)
