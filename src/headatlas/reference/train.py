"""Train a reference VLM from scratch in four stages.

A run that was killed resumes at its last checkpoint and ends with the same weights: batches depend on seed and step only, and a
checkpoint holds weights, optimizer and step.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.reference.batches import Sampler, TextBatch
from headatlas.reference.families import family_named
from headatlas.reference.held_out import accuracies, lookups
from headatlas.reference.losses import ATTENTION, answer_loss, hidden, image_features
from headatlas.reference.parallel import Team, run_team
from headatlas.reference.pool import Pool, PoolSettings, prepare, to_float
from headatlas.reference.recipe import STAGES, Recipe
from headatlas.storage import check_out_folder, recover, replacing

_LATER = {"marks": 0.0, "device": "cpu", "freeze": 1 / 3}
"""Settings that older work folders do not name, and their value there."""

_HELD_OUT_SEED = 1_000_003
"""Added to the recipe's seed to get that of the held-out scenes."""


class Trainer:
    """One training run in a work folder: `checkpoint/`, `log.jsonl`, `recipe.json`.

    `pool/` and `held_out/` are in the folder `scenes` (by default `work`), which the runs of all families can share. Every
    process of a team makes one trainer, after the pools have been made (`make_pools`).
    """

    def __init__(
        self,
        recipe: Recipe,
        work: Path,
        team: Team | None = None,
        progress: Progress | None = None,
        scenes: Path | None = None,
    ):
        self.recipe, self.work, self._progress, self._team = recipe, work, progress, team or Team()
        self.family = family_named(recipe.family)
        self.device = torch.device(recipe.device)
        self.tokenizer = self.family.tokenizer()
        self.processor = self.family.processor(self.tokenizer, recipe.shape)
        self.encoder = self.family.encoder(self.tokenizer, recipe.shape)
        self.pool, self.held_out = make_pools(recipe, scenes or work)
        self.pool = self.pool.with_rows(self.family.more_rows(self.encoder, work))
        pad = self.tokenizer.pad_token_id
        assert isinstance(pad, int)
        self.sampler = Sampler(self.pool, self.encoder, pad, recipe.tokens, recipe.seed)
        self.model = self.family.model(self.tokenizer, recipe.shape, recipe.seed)
        self.model.to(self.device)  # type: ignore[arg-type]
        self.model.set_attn_implementation(ATTENTION if recipe.bfloat16 and self.device.type == "cpu" else "sdpa")
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed + 1)
            self.heads = self.family.patch_heads(self.model, self.tokenizer, recipe.shape).to(self.device)
        self._language: Callable[..., Any] = self.family.language_model(self.model)
        if recipe.compiled:
            self._language = self._compiled()
        self._ahead = ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], Future[Any]] | None = None
        self.stage, self.step = 0, 0
        self.optimizer = self._optimizer()
        self._restore()

    def run(self, until: int | None = None) -> None:
        """Train to the end, or for at most `until` further steps."""
        left = math.inf if until is None else until
        while self.stage < len(STAGES):
            total = self.recipe.steps[self.stage]
            started, first = time.monotonic(), self.step
            while self.step < total:
                if left <= 0:
                    return
                facts = self._one_step()
                self.step += 1
                left -= 1
                if self._team.first and (self.step % 20 == 0 or self.step == total):
                    facts = {name: _rounded(value) for name, value in facts.items()}
                    pace = (time.monotonic() - started) / (self.step - first)
                    self._log(
                        seconds_a_step=round(pace, 3), minutes_left=round(pace * (total - self.step) / 60, 1), **facts
                    )
                if self._team.first and (self.step % self.recipe.evaluate_every == 0 or self.step == total):
                    self._evaluate()
                if self.step % self.recipe.checkpoint_every == 0 and self.step < total:
                    self.checkpoint()
            if STAGES[self.stage] == "vision":
                self._scale_features()
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(STAGES):
                self.optimizer = self._optimizer()
            self.checkpoint()
            if self._team.first:
                # Each stage's last checkpoint is kept, so that later stages can be repeated with other settings.
                name = STAGES[self.stage - 1]
                shutil.copytree(self.work / "checkpoint", self.work / f"after_{name}", dirs_exist_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the last stage is done."""
        return self.stage == len(STAGES)

    def features(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B P E"]:
        """Return the projected patches of pictures (`to_float`), as the language model gets them."""
        return image_features(self.family, self.model, pixels, self.recipe.shape)

    def hidden(self, ids: Int64[Tensor, "B T"], pixels: Float[Tensor, "B 3 S S"] | None) -> Float[Tensor, "B T E"]:
        """Return the language model's last hidden states of rows padded on the right, not compiled."""
        return hidden(self.family, self.model, ids, pixels, self.recipe.shape)

    def export(self, folder: Path) -> None:
        """Write the model folder."""
        self.model.set_attn_implementation("sdpa")
        self.family.export(self.model, self.processor, folder)

    def checkpoint(self) -> None:
        """Write weights, optimizer and position to `checkpoint/`, in place of the checkpoint that is there."""
        if not self._team.first:
            return
        with replacing(self.work / "checkpoint", "the checkpoint") as new:
            state = self.family.state(self.model)
            if state is None:
                save_model(self.model, str(new / "model.safetensors"))
            else:
                save_file({name: tensor.contiguous() for name, tensor in state.items()}, new / "model.safetensors")
            save_model(self.heads, str(new / "heads.safetensors"))
            torch.save(self.optimizer.state_dict(), new / "optimizer.pt")
            (new / "place.json").write_text(json.dumps({"stage": self.stage, "step": self.step}))

    def _restore(self) -> None:
        folder = self.work / "checkpoint"
        if self._team.first:
            recover(folder)
        self._team.wait()
        if not folder.exists():
            return
        place = json.loads((folder / "place.json").read_text())
        self.stage, self.step = place["stage"], place["step"]
        state = self.family.state(self.model)
        if state is None:
            load_model(self.model, str(folder / "model.safetensors"))
        else:
            stored = load_file(folder / "model.safetensors", str(self.device))
            assert stored.keys() == state.keys()
            self.model.load_state_dict(stored, strict=False)
        load_model(self.heads, str(folder / "heads.safetensors"))
        if not self.finished:
            self.optimizer = self._optimizer()
        if not self.finished and self.step:
            self.optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))

    def _trained(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters that the stage trains: at the full rate, and at `vision_share` of it."""
        vision = self.family.vision_parameters(self.model)
        language = self.family.language_parameters(self.model)
        parts = {
            "vision": ([*self.family.seeing_parameters(self.model), *self.heads.parameters()], []),
            "lookup": (language, []),
            "whole": (language, vision),
            "finish": (language, vision),
        }
        return parts[STAGES[min(self.stage, len(STAGES) - 1)]]

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in part if (p.ndim > 1) == matrix], "share": share, "weight_decay": decay}
            for part, share in zip(self._trained(), (1.0, self.recipe.vision_share), strict=True)
            for matrix, decay in ((True, self.recipe.weight_decay), (False, 0.0))
        ]
        groups = [group for group in groups if group["params"]]
        return torch.optim.AdamW(groups, lr=1e-3, betas=self.recipe.betas, fused=True)

    def _rate(self) -> float:
        total = self.recipe.horizons[self.stage]
        peak, warmup, floor = self.recipe.rates[self.stage], self.recipe.warmups[self.stage], self.recipe.floor
        if self.step < warmup:
            return peak * (self.step + 1) / warmup
        done = (self.step - warmup) / max(1, total - warmup)
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))

    def _one_step(self) -> dict[str, Any]:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.model.train()
        loss, facts = self._vision_loss() if STAGES[self.stage] == "vision" else self._text_loss()
        self.optimizer.zero_grad()
        loss.backward()
        trained = [p for part in self._trained() for p in part]
        self._team.sum_gradients(trained)
        norm = nn.utils.clip_grad_norm_(trained, self.recipe.clip)
        self.optimizer.step()
        # Tensors, so that no step waits for the device.
        return {"loss": loss.detach(), "rate": rate, "norm": norm, **facts}

    def autocast(self) -> torch.autocast:
        """bfloat16 arithmetic within the block, where the recipe asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16)

    def _vision_loss(self) -> tuple[Tensor, dict[str, Any]]:
        def draw(_: str, step: int) -> tuple[Any, Any]:
            scenes = self.sampler.patches(step, self.recipe.vision_batch)[self._team.rank :: self._team.size]
            return self.pool.images(scenes), torch.from_numpy(self.pool.patches[scenes])

        pictures, labels = self._drawn(draw)
        with self.autocast():
            features = self.features(to_float(self.processor, pictures, self.device))
        loss, accuracy = self.heads(features, labels.to(self.device))
        return loss / self._team.size, accuracy

    def _text_loss(self) -> tuple[Tensor, dict[str, Any]]:
        mine = slice(self._team.rank, None, self._team.size)

        def draw(stage: str, step: int) -> tuple[TextBatch, Any]:
            batch = self.sampler.text(stage, step, self.recipe.shares(stage, step))
            return batch, batch.pixels(self.pool, mine)

        batch, pictures = self._drawn(draw)
        ids, weights = batch.ids[mine], batch.weights[mine]
        pixels = None if pictures is None else to_float(self.processor, pictures, self.device)
        frozen = self.recipe.frozen(STAGES[self.stage], self.step)

        def states() -> Tensor:
            return hidden(self.family, self.model, ids, pixels, self.recipe.shape, self._language, frozen)

        with self.autocast():
            last = states()
            loss = self.family.special_loss(self.model, batch.kind, last, weights, states)
            if loss is None:
                loss = answer_loss(self.model, last, ids, weights)
        # The mean loss of each process counts by its share of the total weight.
        share = float(weights.sum() / batch.weights.sum())
        return loss * share, {"kind": batch.kind}

    def _drawn(self, draw: Callable[[str, int], Any]) -> Any:
        """Return what `draw(stage, step)` gives for this step, drawn in a thread while the device did the step before."""
        stage, place = STAGES[self.stage], (self.stage, self.step)
        got = self._next[1].result() if self._next is not None and self._next[0] == place else draw(stage, self.step)
        self._next = None
        if self.device.type != "cpu" and self.step + 1 < self.recipe.steps[self.stage]:
            self._next = (self.stage, self.step + 1), self._ahead.submit(draw, stage, self.step + 1)
        return got

    @torch.inference_mode()
    @torch.compiler.set_stance("force_eager")
    def _evaluate(self) -> None:
        # Not compiled: its batches have other shapes each time.
        self.model.eval()
        if STAGES[self.stage] == "vision":
            labels = torch.from_numpy(self.held_out.patches).to(self.device)
            with self.autocast():
                pixels = to_float(self.processor, np.array(self.held_out.pixels), self.device)
                features = torch.cat([self.features(part) for part in pixels.split(64)])
            _, measured = self.heads(features, labels)
        else:
            measured = lookups(self) if STAGES[self.stage] == "lookup" else accuracies(self)
        self._log(held_out={name: round(float(value), 3) for name, value in measured.items()})

    @torch.no_grad()
    def _scale_features(self) -> None:
        """Scale the projected patches to `feature_norm`; stage 1 uses only their directions."""
        if self.recipe.feature_norm is None:
            return
        pixels = to_float(self.processor, np.array(self.held_out.pixels), self.device)
        features = torch.cat([self.features(part) for part in pixels.split(64)])
        factor = self.recipe.feature_norm / features.norm(dim=-1).mean()
        for parameter in self.family.last_parameters(self.model):
            parameter.mul_(factor)

    def _compiled(self) -> Callable[..., Any]:
        """The language model in compiled form: a small one as one graph for each shape, a deep one layer by layer."""
        torch._dynamo.config.recompile_limit = 64
        language = self.family.language_model(self.model)
        if self.recipe.shape.layers <= 12:
            return torch.compile(language, dynamic=False)
        for layer in language.layers:  # type: ignore[union-attr]
            layer.compile(dynamic=self.device.type != "cpu")  # type: ignore[operator]
        return language

    def _log(self, **facts: Any) -> None:
        line = json.dumps(
            {"stage": STAGES[self.stage], "step": self.step, "of": self.recipe.steps[self.stage], **facts}
        )
        with (self.work / "log.jsonl").open("a") as file:
            file.write(line + "\n")
        if self._progress is not None:
            self._progress(f"train: {STAGES[self.stage]}", self.step, self.recipe.steps[self.stage])


def _rounded(value: Any) -> Any:
    return round(float(value), 5) if isinstance(value, Tensor | float) else value


def train(
    recipe: Recipe,
    work: Path,
    out: Path,
    processes: int = 2,
    progress: Progress | None = None,
    scenes: Path | None = None,
) -> None:
    """Train with a recipe in the folder `work`, resuming a run that is there, and write the model folder to `out`.

    Args:
        recipe: the settings.
        work: folder for checkpoints and log.
        out: where the finished model goes.
        processes: number of processes, which share every batch. Weights depend slightly on it, by rounding.
        progress: see `headatlas.progress`; losses and accuracies are in `log.jsonl`.
        scenes: folder of the rendered scenes, by default `work`; one folder serves all families.

    Raises:
        HeadAtlasError: `out` cannot be written; `work` holds a run with another recipe; the device is not there, or is shared
            by several processes.
    """
    _check_device(recipe.device, processes)
    check_out_folder(out)
    work.mkdir(parents=True, exist_ok=True)
    _same_recipe(recipe, processes, work / "recipe.json")
    scenes = scenes or work
    if progress is not None:
        progress("render scenes", 0, recipe.n_scenes)
    make_pools(recipe, scenes, processes)
    if progress is not None:
        progress("render scenes", recipe.n_scenes, recipe.n_scenes)
    run_team(_train, processes, work, (recipe, work, out, scenes), progress)


def _train(team: Team, recipe: Recipe, work: Path, out: Path, scenes: Path, progress: Progress | None) -> None:
    trainer = Trainer(recipe, work, team, progress, scenes)
    trainer.run()
    if team.first:
        trainer.export(out)
    team.wait()


def make_pools(recipe: Recipe, folder: Path, workers: int = 1) -> tuple[Pool, Pool]:
    """Make or open the training scenes and the held-out ones, with the conversations of the recipe's family."""
    training = PoolSettings(recipe.n_scenes, recipe.seed, marked=recipe.marks > 0)
    held_out = PoolSettings(recipe.n_held_out, recipe.seed + _HELD_OUT_SEED, mirrors=False)
    return (
        prepare(training, recipe.family, recipe.shape, folder / ("pool_marked" if recipe.marks else "pool"), workers),
        prepare(held_out, recipe.family, recipe.shape, folder / "held_out", workers),
    )


def _check_device(name: str, processes: int) -> None:
    if name not in ("cpu", "cuda"):
        raise HeadAtlasError(f"device must be 'cpu' or 'cuda', got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise HeadAtlasError("device 'cuda' is not there: PyTorch finds no CUDA device; train with device 'cpu'")
    if name == "cuda" and processes != 1:
        raise HeadAtlasError(f"processes must be 1 on device 'cuda', got {processes}")


def _same_recipe(recipe: Recipe, processes: int, path: Path) -> None:
    facts = {
        name: value for name, value in asdict(recipe).items() if value != _LATER.get(name, ...)
    }  # as in older work folders
    wanted = json.dumps({**facts, "processes": processes}, indent=2) + "\n"
    if path.exists() and path.read_text() != wanted:
        raise HeadAtlasError(
            f"{path.parent} holds a training run with another recipe; use the same settings to resume it, give another --work "
            "folder, or remove that one"
        )
    path.write_text(wanted)
