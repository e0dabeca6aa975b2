"""Stage `data`: build or read the questions, list those that the model cannot be asked, and test what words give away."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import version
from typing import Any

import pandas as pd
import torch
import transformers

from headatlas.cogvsr import load
from headatlas.cogvsr.surface import answer_without_image, function_from_text
from headatlas.report.one_task import ONE_TASK
from headatlas.study.stages.base import stage
from headatlas.study.study import Study, per_split

log = logging.getLogger("headatlas")


@stage("data", command="evaluate", version=2)
def run(study: Study) -> None:
    """Write RUN/data, settings.json, results/left_out.csv and surface.csv."""
    study.report("data", 0, 1)
    study.vlm.heads.towers_named(study.settings.towers)  # raises for a tower that the model lacks
    left_out = study.find_left_out()
    folder = study.run.root / "data"
    study.whole.save(folder)
    study.whole = load(str(folder))
    study.run.write_table("left_out", left_out)
    study.__dict__.pop("data", None)
    for row in left_out.itertuples():
        log.warning("left out: %s %r: %s", row.what, row.name, row.reason)
    study.run.write_json("settings.json", _settings_record(study))
    study.run.write_table("surface", _surface(study))
    study.report("data", 1, 1)


def _surface(study: Study) -> pd.DataFrame:
    """How well words alone predict a step's function and a question's answer, fitted on split P and evaluated on split E."""
    fit, test = study.data.split("P"), study.data.split("E")
    steps = function_from_text(fit.steps(), test.steps())
    tables = [steps, answer_without_image(fit.without_images(), test.without_images())]
    return pd.concat(tables, ignore_index=True)


def _settings_record(study: Study) -> dict[str, Any]:
    """The content of settings.json: settings, model, data and versions."""
    layers, heads = study.vlm.heads.shape
    config: Any = study.vlm.model.config
    settings = study.settings.model_dump(mode="json")
    source = settings.pop("data")
    return {
        **settings,
        "data": {
            "source": source,
            "n": len(study.data),
            "left_out": len(study.whole) - len(study.data),
            "seed": study.settings.seed,
            "fingerprint": study.whole.fingerprint,
            "questions": per_split(study.data),
        },
        "source": source,
        "functions": ONE_TASK if study.one_task else list(study.functions),
        "too_few": study.check_data(),
        "model_fingerprint": study.vlm.fingerprint,
        "family": config.model_type,
        "shape": [layers, heads],
        "kv_heads": getattr(config.get_text_config(), "num_key_value_heads", None),
        "d_head": study.vlm.heads.d_head,
        "dtype": str(study.vlm.dtype).removeprefix("torch."),
        "device": study.vlm.device.type,
        "threads": torch.get_num_threads(),
        "versions": {
            "headatlas": version("headatlas"),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
