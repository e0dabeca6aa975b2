"""Stage `activate`: spatial head activation from the input side (SHA), arm by arm, with its controls, on split E."""

from __future__ import annotations

from headatlas.intervention import Condition
from headatlas.latent import activation_table, arms
from headatlas.study.stages.base import stage
from headatlas.study.study import Study


@stage("activate", needs=("data",))
def run(study: Study) -> None:
    """Write results/activation.csv."""
    runner = study.runner()
    names = list(arms())
    conditions = [Condition(f"shown as {name}", arm=name) for name in names]
    tables = runner.run_many(conditions, "E", lambda _, done, total: study.report("activate", done, total))
    table = activation_table(
        dict(zip(names, tables, strict=True)), n_boot=study.settings.n_bootstrap, seed=study.settings.seed
    )
    study.run.write_table("activation", table)
