"""One study: its settings, its run directory, and what its stages share (model, data, activations, atlas, runners).

Everything shared is loaded on first use, so that a resumed run, or one stage called alone, loads only what it needs. Knows
which object lies where; knows nothing of what stages do with them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from jaxtyping import Float32

from headatlas.activations import Activations
from headatlas.cluster import Workers
from headatlas.cogvsr import CogVSR
from headatlas.cogvsr import load as load_data
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.intervention import Runner, mean_z
from headatlas.latent import arms, get_detector
from headatlas.scoring import Atlas
from headatlas.storage import Folder
from headatlas.study.rundir import RunDir
from headatlas.study.settings import Settings
from headatlas.vlm import VLM, load_vlm

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`."""

SPLITS = ("P", "S", "T", "E")


class Study:
    """A study of one model on one dataset in one run directory.

    Args:
        settings: What is done.
        out: Run directory, made if missing.
        vlm: The model if it is loaded already, else `settings.model` is loaded when first needed.
        data: The dataset if it is loaded already, else `settings.data`.
        progress: Called as `progress(what, done, total)`.
        workers: Processes on several devices or machines that capture and answer (`headatlas.cluster`); ended by whoever
            made them.
        store: Where activations and answers are kept if not in the run directory, such as `s3://bucket/run`; noted there.

    Raises:
        HeadAtlasError: `out` holds a run of another model, dataset or settings, or one with another store.
    """

    def __init__(
        self,
        settings: Settings,
        out: str | Path,
        *,
        vlm: VLM | None = None,
        data: Any = None,
        progress: Progress | None = None,
        workers: Workers | None = None,
        store: str | Path | None = None,
    ) -> None:
        self.settings, self.run, self.workers = settings, RunDir(out), workers
        self._progress = progress
        if vlm is not None:
            self.vlm = vlm
        if data is not None:
            self.data = data
        self._claim()
        self.store = self._store(None if store is None else str(store))

    # -- what stages share -----------------------------------------------------------------------------------------

    @cached_property
    def vlm(self) -> VLM:
        """The model."""
        return load_vlm(self.settings.model)

    @cached_property
    def data(self) -> CogVSR:
        """The dataset, as kept in the run directory once the first stage has run."""
        kept = self.run.root / "data"
        if (self.run.root / "stages" / "data.json").exists():
            return load_data(str(kept))
        source = self.settings.data
        return load_data(source, n=self.settings.n, seed=self.settings.seed)

    @cached_property
    def acts(self) -> Activations:
        """The captured activations."""
        return Activations.open(self.store.at("capture").where)

    @cached_property
    def atlas(self) -> Atlas:
        """Scores and head sets, as kept by the stage `score`."""
        return Atlas.load(self.run.root / "atlas.json")

    @cached_property
    def means(self) -> Float32[np.ndarray, "L H D"]:
        """Mean z of every head over the steps of split P, for mean ablation."""
        return mean_z(self.acts, "P")

    def runner(self, mode: str = "forced", context: str = "gold") -> Runner:
        """A runner whose answers are cached in the run directory."""
        known = {**arms(get_detector(self.settings.detector)), "no_image": NO_IMAGE}
        return Runner(
            self.vlm,
            cast(Any, self.data),
            self.store.at("answers").where,
            mode,
            context,
            self.settings.batch_size,
            arms=known,
            workers=self.workers,
        )

    def head_set(self, function: str, scorer: str) -> HeadSet:
        """The heads that are intervened on: selected by the settings' selector, the best of them if they are many.

        At most `settings.head_share` of all heads: taking a third of a model away breaks it whatever the heads do.
        """
        selected = self.atlas.heads(function, scorer=scorer, selector=self.settings.selector)
        most = self.most_heads
        if len(selected) <= most:
            return selected
        chosen = set(selected)
        best = [head for head in self.atlas.ranking(function, scorer) if head in chosen][:most]
        return HeadSet(sorted(best), reason=f"the best {most} of {len(selected)} selected")

    @property
    def control_split(self) -> str:
        """The part of split E on which random controls are run."""
        n = self.settings.n_control_questions
        return "E" if n is None else f"E[:{n}]"

    @property
    def most_heads(self) -> int:
        """How many heads an intervened set has at most."""
        layers, heads = self.vlm.heads.shape
        return max(1, round(self.settings.head_share * layers * heads))

    def report(self, what: str, done: int, total: int) -> None:
        """Tell the progress callback, if there is one."""
        if self._progress is not None:
            self._progress(what, done, total)

    # -- identity --------------------------------------------------------------------------------------------------

    def fingerprint(self) -> dict[str, Any]:
        """What the numbers depend on: model, data, settings."""
        return {
            "model_fingerprint": self.vlm.fingerprint,
            **self.settings.model_dump(mode="json", exclude={"batch_size"}),
        }

    def _claim(self) -> None:
        identity = self.settings.model_dump(mode="json", exclude={"batch_size"})
        # settings.json tells more of the data than their source: there `data` is a record of its own.
        identity["source"] = identity.pop("data")
        if "vlm" in self.__dict__:
            identity["model_fingerprint"] = self.vlm.fingerprint
        self.run.claim(identity)

    def _store(self, wanted: str | None) -> Folder:
        """Where activations and answers lie: as noted when the run began, else as wanted."""
        noted = self.run.read_json("store.json", {}).get("store")
        begun = noted is not None or (self.run.root / "settings.json").exists()
        if wanted is not None and begun and wanted != noted:
            raise HeadAtlasError(
                f"{str(self.run.root)!r} keeps its activations in {noted or 'the run directory'!r}, came {wanted!r}: leave the "
                "store out, or name another folder"
            )
        folder = Folder.of(noted or wanted or self.run.root)
        if wanted is not None and noted is None:
            self.run.write_json("store.json", {"store": wanted})
        return folder

    def write_settings(self) -> None:
        """Write settings.json: the settings, model, data and versions."""
        layers, heads = self.vlm.heads.shape
        config = cast(Any, self.vlm.model).config
        per_split = {name: self.data.splits.get(name, 0) for name in SPLITS}
        missing = [name for name, count in per_split.items() if not count]
        if missing:
            raise HeadAtlasError(
                f"the dataset has no question in split {', '.join(missing)}: a study needs {', '.join(SPLITS)}"
            )
        settings = self.settings.model_dump(mode="json")
        source = settings.pop("data")
        record = {
            **settings,
            "data": {
                "source": source,
                "n": len(self.data),
                "seed": self.settings.seed,
                "fingerprint": self.data.fingerprint,
                "questions": per_split,
            },
            "source": source,
            "model_fingerprint": self.vlm.fingerprint,
            "family": config.model_type,
            "shape": [layers, heads],
            "kv_heads": getattr(config.get_text_config(), "num_key_value_heads", None),
            "d_head": self.vlm.heads.d_head,
            "dtype": str(self.vlm.dtype).removeprefix("torch."),
            "device": self.vlm.device.type,
            "threads": torch.get_num_threads(),
            "versions": {
                "headatlas": version("headatlas"),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
        }
        self.run.write_json("settings.json", record)


class _NoImage:
    """The arm in which the question is asked with no image at all: what words alone can do."""

    fingerprint = "no_image"

    def __call__(self, question: Any) -> tuple[tuple[Any, ...], str]:
        return (), ""


NO_IMAGE = _NoImage()
