"""Stage `positive_control`: the activation methods on the same model with heads that are known to be latent."""

from __future__ import annotations

import logging

from headatlas.errors import HeadAtlasError
from headatlas.intervention.split_cache import parse_split
from headatlas.latent import METHODS, choose_faint, positive_control
from headatlas.latent.judging import without_spatial
from headatlas.results import RESULTS
from headatlas.study.stages.base import stage
from headatlas.study.stages.methods import method_inputs
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study
from headatlas.vlm.surgery import scaled_output

log = logging.getLogger("headatlas")

RANKINGS = ("ablation", "attention", "specificity")
"""Scorers by which the heads that are made latent are ranked."""


@stage(
    "positive_control",
    command="activate",
    needs=("data", "capture", "score", "select"),
    uses=lambda study: codes(METHODS, study.settings.methods),
)
def run(study: Study) -> None:
    """Write results/positive_control.csv; no rows where it is switched off, or cannot be made (the log says why)."""
    settings = study.settings
    scores = {name: study.atlas.scores[name] for name in RANKINGS if name in study.atlas.scores}
    study.run.write_table("positive_control", RESULTS["positive_control"].empty())
    if not settings.positive_control or not settings.methods:
        return
    if reason := without_spatial(study.data):  # the stage before has said so
        log.info("the positive control is left out: %s", reason)
        return
    if not scores:
        log.info("the positive control is left out: it needs one of the scorers %s", ", ".join(RANKINGS))
        return
    names = [name for name in settings.methods if "linear" in study.scorers or "heads" not in _needs(name)]
    if len(names) < len(settings.methods):
        log.info(
            "the positive control leaves out methods that act on chosen heads: these must come from the scorer 'linear'"
        )
    try:  # quantized or offloaded weights are refused before anything is tuned
        with scaled_output(study.vlm, study.vlm.heads.heads("L"), 1.0):
            pass
    except HeadAtlasError as error:
        log.warning("the positive control is left out: %s", error)
        return
    inputs = method_inputs(study)
    faint = choose_faint(inputs, scores)
    if not faint.heads:
        log.warning("the positive control is left out: %s", faint.reason)
        return
    split, n = parse_split(study.control_split)
    intact = study.runner().baseline(study.control_split)
    table = positive_control(
        inputs, names, faint.heads, intact, questions=list(study.data.split(split))[:n],
        draws=settings.n_method_controls,
        n_boot=settings.n_bootstrap,
    )  # fmt: skip
    study.run.write_table("positive_control", table)


def _needs(name: str) -> tuple[str, ...]:
    return tuple(getattr(METHODS[name](), "needs", ()))
