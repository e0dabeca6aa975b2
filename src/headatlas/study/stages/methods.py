"""Stage `methods`: activation methods fitted on split P, tuned on T and judged on E; their recipes; latent heads.

Methods that act on chosen heads get those that the study selected for the spatial functions: by the linear probe, if the study
has it, because heads that are decodable but idle have no effect by which they could be selected.
"""

from __future__ import annotations

import logging

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.latent import METHODS, Judged, LatentInputs, MethodInputs, get_detector, judge, latent_table, twin_scores
from headatlas.latent.judging import without_spatial
from headatlas.latent.recruitment import recruitment
from headatlas.results import RESULTS
from headatlas.storage import remove_tree
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

log = logging.getLogger("headatlas")

RECIPES = "recipes"
"""The folder of a run to which recipes are written."""

TABLES = ("methods", "method_gains", "method_controls", "method_strengths")


@stage(
    "methods",
    command="activate",
    needs=("data", "capture", "score", "select"),
    version=3,
    uses=lambda study: codes(METHODS, study.settings.methods),
)
def run(study: Study) -> None:
    """Write results/methods.csv, method_gains.csv, method_controls.csv, method_strengths.csv, latent.csv, recruitment.csv, and
    recipes/."""
    settings, judged = study.settings, None
    remove_tree(study.run.root / RECIPES)
    if settings.methods and (reason := without_spatial(study.data)):
        log.warning("activation methods are left out: %s", reason)
    elif settings.methods:
        judged = judge(
            method_inputs(study), settings.methods, draws=settings.n_method_controls, n_boot=settings.n_bootstrap
        )
    for name in TABLES:
        study.run.write_table(name, RESULTS[name].empty() if judged is None else judged.tables[name])
    study.run.write_table("latent", _latent(study, judged))
    study.run.write_table("recruitment", _recruitment(study, judged))
    for name, recipe in ({} if judged is None else judged.recipes).items():
        recipe.save(study.run.root / RECIPES / f"{name}.recipe")


def method_inputs(study: Study) -> MethodInputs:
    """The inputs of methods: the run's model, data, activations and selected heads."""
    settings = study.settings
    scorer = "linear" if "linear" in study.scorers else study.scorers[0]
    heads: dict[str, HeadSet] = {function: study.head_set(function, scorer) for function in FUNCTIONS}
    return MethodInputs(
        study.vlm, study.data, study.acts, heads, settings.seed, get_detector(settings.detector), n_fit=settings.n_method_fit,
        batch_size=settings.batch_size, progress=study.report,
    )  # fmt: skip


def _latent(study: Study, judged: Judged | None) -> pd.DataFrame:
    """Rows of results/latent.csv; none where no method was judged, or without the linear probe and exact ablation."""
    decodable, effect = study.atlas.scores.get("linear"), study.atlas.scores.get("ablation")
    if judged is None or decodable is None or effect is None or decodable.pvalues is None or effect.per_sample is None:
        return RESULTS["latent"].empty()
    if effect.info.get("measure", "logprob") != "logprob":
        return RESULTS["latent"].empty()
    settings = study.settings
    twin = twin_scores(study.vlm, study.data, settings.tokens, seed=settings.seed, batch_size=settings.batch_size)
    gained = {name: judged.methods[name] for name in judged.recipes if _gain(judged, name) > 0}
    inputs = LatentInputs(
        study.vlm, study.data, decodable, effect, study.means, gained, twin, batch_size=settings.batch_size,
        n_boot=settings.n_bootstrap,
    )  # fmt: skip
    return latent_table(inputs)


RECRUITING = ("ablation", "attention", "linear")
"""The scorers by which heads are compared before and after, where the study has them."""


def _recruitment(study: Study, judged: Judged | None) -> pd.DataFrame:
    """Rows of results/recruitment.csv: of methods that help and can be merged into the weights."""
    parts = []
    before = {name: study.atlas.scores[name] for name in RECRUITING if name in study.atlas.scores}
    if judged is None or not before:
        return RESULTS["recruitment"].empty()
    for name in judged.helping:
        recipe = judged.recipes.get(name)
        if recipe is None:
            continue
        try:
            parts.append(
                recruitment(
                    study.vlm, study.data, recipe, study.acts, before, tokens=study.settings.tokens,
                    selector=study.settings.selector, seed=study.settings.seed, progress=study.report,
                )
            )  # fmt: skip
        except HeadAtlasError as error:  # no change of weights
            log.info("heads with method %r in force are not scored: %s", name, error)
    return pd.concat(parts, ignore_index=True) if parts else RESULTS["recruitment"].empty()


def _gain(judged: Judged, name: str) -> float:
    table = judged.tables["methods"]
    return float(table.loc[table["method"] == name, "gain"].iloc[0])
