"""Stage `activate`: every arm of spatial head activation (SHA) and every other activation method, on split E."""

from __future__ import annotations

import logging

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.intervention import Condition
from headatlas.latent import METHODS, MethodInputs, activation_table, arms, get_detector
from headatlas.latent.methods.sha import ARMS
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study
from headatlas.vlm import evaluate

log = logging.getLogger("headatlas")

ARMS_OF = "sha"
"""The method whose arms are all evaluated."""


@stage("activate", needs=("data",), version=2, uses=lambda study: [codes(METHODS), codes(ARMS)])
def run(study: Study) -> None:
    """Write results/activation.csv; arms and methods in which the model cannot be asked all questions have no rows."""
    every = {name: arm for name, arm in arms(get_detector(study.settings.detector)).items() if study.shows(name)}
    conditions = [Condition(f"shown as {name}", arm=name) for name in every]
    answers = study.runner().run_many(conditions, "E", lambda _, done, total: study.report("activate", done, total))
    tables = dict(zip(every, answers, strict=True))
    controls = {name: arm.control for name, arm in every.items()}
    for name in METHODS:
        if name != ARMS_OF:
            applied, control = _applied(study, name)
            if refused := applied.attrs.get("refused"):
                log.warning("method %r is left out: with it %s", name, next(iter(refused.values())))
                continue
            tables[name], controls[name] = applied, control
    table = activation_table(tables, controls, n_boot=study.settings.n_bootstrap, seed=study.settings.seed)
    study.run.write_table("activation", table)


def _applied(study: Study, name: str) -> tuple[pd.DataFrame, str]:
    """Answers to split E with a method, fitted on P and tuned on T, by the heads of the first scorer; and its control."""
    if not study.run.has_run("select"):
        raise HeadAtlasError(
            f"method {name!r} acts on selected heads; run `headatlas select --out {study.run.root}` first"
        )
    scorer = study.scorers[0]
    heads = {function: study.head_set(function, scorer) for function in FUNCTIONS}
    inputs = MethodInputs(study.vlm, study.data, study.acts, heads, study.settings.seed)
    method = METHODS[name]()
    method.fit(inputs)
    method.tune(inputs)
    with method.applied(study.vlm) as arm:
        answers = evaluate(study.vlm, study.data.split("E"), batch_size=study.settings.batch_size, arm=arm)
    return answers, method.control
