"""Stage `activate`: every arm of spatial head activation (SHA), on split E."""

from __future__ import annotations

import logging

from headatlas.intervention import Condition
from headatlas.latent import activation_table, arms, get_detector
from headatlas.latent.methods.sha import ARMS
from headatlas.results import RESULTS
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

log = logging.getLogger("headatlas")


@stage("activate", needs=("data",), version=4, uses=lambda study: codes(ARMS))
def run(study: Study) -> None:
    """Write results/activation.csv; arms in which the model cannot be asked all questions have no rows."""
    detector = get_detector(study.settings.detector)
    if not any(detector(question) for question in study.data.split("E")):
        log.warning(
            "activation is left out: detector %r finds nothing in the pictures of split E", study.settings.detector
        )
        study.run.write_table("activation", RESULTS["activation"].empty())
        return
    every = {name: arm for name, arm in arms(detector).items() if study.shows(name)}
    conditions = [Condition(f"shown as {name}", arm=name) for name in every]
    answers = study.runner().run_many(conditions, "E", lambda _, done, total: study.report("activate", done, total))
    tables = dict(zip(every, answers, strict=True))
    controls = {name: arm.control for name, arm in every.items()}
    table = activation_table(tables, controls, n_boot=study.settings.n_bootstrap, seed=study.settings.seed)
    study.run.write_table("activation", table)
