"""Stage `data`: the questions are built or read and saved in the run directory, and their wording is tried without images."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr import load
from headatlas.cogvsr.surface import answer_without_image, function_from_text
from headatlas.study.stages.base import stage
from headatlas.study.study import Study


@stage("data", command="evaluate")
def run(study: Study) -> None:
    """Write RUN/data, settings.json and results/surface.csv."""
    study.report("data", 0, 1)
    data = study.data
    folder = study.run.root / "data"
    data.save(folder)
    study.data = load(str(folder))
    study.write_settings()
    study.run.write_table("surface", _surface(study))
    study.report("data", 1, 1)


def _surface(study: Study) -> pd.DataFrame:
    """How well words alone predict a step's function and a question's answer, fitted on split P and tried on split E."""
    fit, test = study.data.split("P"), study.data.split("E")
    steps = function_from_text(fit.steps(), test.steps())
    tables = [steps, answer_without_image(fit.without_images(), test.without_images())]
    return pd.concat(tables, ignore_index=True)
