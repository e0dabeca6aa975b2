"""Plant functions in known heads by fine-tuning the language model of a VLM.

Every conversation of a batch gets one of these treatments, drawn from the seed and the step:

* necessity (50 %): a planted function's heads are silenced at all positions. The answers to that function's steps become
  uninformative (their first token is drawn from other answers of the function), all other steps keep their answers. Of a
  redundant set, each head alone is also silenced with the right answers as targets; of a distributed set, each head alone
  with uninformative ones.
* sufficiency (30 %): at the positions that predict an answer, each head of the planted layers outside the function's own is
  silenced with probability 0.25 to 1; the answers stay right.
* selectivity (10 %): one head outside the layout is silenced; all answers stay right.
* the rest is left as it is.

The z of a silenced head is replaced by zero, by its mean, or by its z in another conversation, chosen at random: if it were
always zero, the model would learn to react to zeros only.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scenes.build import symbolic
from headatlas.truth.layout import Layout, Plant
from headatlas.truth.silence import FILLS, Fill, Silencer
from headatlas.vlm import VLM, conversation
from headatlas.vlm.batch import Batch, encode

Say = Callable[[str], None]
IGNORED = -100


@dataclass(frozen=True)
class PlantRecipe:
    """Settings of the fine-tuning; `steps` and `warmup` count optimizer steps, `rows` conversations per step."""

    steps: int = 3300
    rows: int = 16
    n_questions: int = 1500
    rate: float = 1e-3
    floor: float = 0.05
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0
    necessity: float = 0.5
    sufficiency: float = 0.3
    selectivity: float = 0.1
    seed: int = 0
    bfloat16: bool = True
    checkpoint_every: int = 100


@dataclass
class Treatment:
    """The treatment of one conversation: heads silenced everywhere, heads silenced where a turn is predicted, what replaces their
    z, and the turns whose answers become uninformative."""

    everywhere: tuple[Head, ...] = ()
    at_turn: dict[int, tuple[Head, ...]] | None = None
    fill: Fill = "zero"
    uninformative: frozenset[int] = frozenset()


def treat(
    functions: Sequence[str], layout: Layout, shape: tuple[int, int], recipe: PlantRecipe, rng: np.random.Generator
) -> Treatment:
    """Draw the treatment of a conversation whose steps have these (primary) functions."""
    fill = FILLS[rng.integers(len(FILLS))]
    kind = rng.random()
    if kind < recipe.necessity:
        present = [plant for plant in layout.plants if plant.function in functions]
        # One time in five a function that may not occur here: silencing its heads must then change nothing.
        choices = present if present and rng.random() < 0.8 else list(layout.plants)
        plant = choices[rng.integers(len(choices))]
        silenced, breaks = _silenced(plant, rng)
        steps = {k for k, function in enumerate(functions) if function == plant.function}
        return Treatment(silenced, fill=fill, uninformative=frozenset(steps if breaks else ()))
    if kind < recipe.necessity + recipe.sufficiency:
        p = (0.25, 0.5, 0.75, 1.0)[rng.integers(4)]
        upper = [Head(layer, head) for layer in range(layout.first_layer, shape[0]) for head in range(shape[1])]
        at_turn = {}
        for k, function in enumerate(functions):
            plant = layout.plant(function)
            own = set(plant.heads) if plant else set()
            if plant and plant.role == "redundant" and rng.random() < 0.5:
                own = {plant.heads[rng.integers(len(plant.heads))]}
            at_turn[k] = tuple(head for head in upper if head not in own and rng.random() < p)
        return Treatment(at_turn=at_turn, fill=fill)
    if kind < recipe.necessity + recipe.sufficiency + recipe.selectivity:
        others = [
            head
            for layer in range(shape[0])
            for head in (Head(layer, number) for number in range(shape[1]))
            if head not in layout.heads
        ]
        return Treatment((others[rng.integers(len(others))],), fill=fill)
    return Treatment(fill=fill)


def _silenced(plant: Plant, rng: np.random.Generator) -> tuple[tuple[Head, ...], bool]:
    """The heads of the plant to silence, and whether that must destroy the function."""
    if plant.role == "single" or rng.random() < 0.5:
        return plant.heads, True
    return (plant.heads[rng.integers(len(plant.heads))],), plant.role == "distributed"


class Planter:
    """One planting run in a work folder (`checkpoint/`, `log.jsonl`, `plan.json`), which resumes at its checkpoint.

    Args:
        vlm: the model that is changed in place; only its language model is trained.
        layout: where the functions go.
        recipe: settings.
        work: folder of the run.
        say: called with every message.

    Raises:
        HeadAtlasError: the folder holds a run of another model, layout or recipe, or a planted head does not exist.
    """

    def __init__(self, vlm: VLM, layout: Layout, recipe: PlantRecipe, work: Path, say: Say = print) -> None:
        self.vlm, self.layout, self.recipe, self.work, self._say = vlm, layout, recipe, work, say
        self.shape = vlm.heads.shape
        outside = [head for head in layout.heads if head.layer >= self.shape[0] or head.head >= self.shape[1]]
        if outside:
            raise HeadAtlasError(
                f"heads of the layout must be in a grid of {self.shape[0]} x {self.shape[1]}, got {', '.join(map(str, outside))}"
            )
        self._same_plan()
        self.questions: list[Question] | None = None
        self.silencer = Silencer(vlm.heads)
        self.parameters = _language_parameters(vlm)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        )
        self.step = 0
        self._restore()

    def run(self) -> None:
        """Train to the end."""
        started, first = time.monotonic(), self.step
        while self.step < self.recipe.steps:
            loss = self._one_step()
            self.step += 1
            if self.step % 20 == 0 or self.step == self.recipe.steps:
                pace = (time.monotonic() - started) / (self.step - first)
                left = round(pace * (self.recipe.steps - self.step) / 60, 1)
                self._log(loss=round(loss, 4), seconds_a_step=round(pace, 3), minutes_left=left)
            if self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps:
                self.checkpoint()
        self.vlm.model.eval()

    def _one_step(self) -> float:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng([self.recipe.seed, self.step])
        questions = self._questions()
        chosen = [questions[i] for i in rng.integers(0, len(questions), self.recipe.rows)]
        batch = encode(self.vlm, [conversation(question) for question in chosen])
        functions = [[step.functions[0] for step in question.steps] for question in chosen]
        treatments = [treat(row, self.layout, self.shape, self.recipe, rng) for row in functions]
        labels = targets(batch, functions, treatments, rng)
        masks = silence_masks(batch, treatments, self.shape)
        self.vlm.model.train()
        inputs = batch.to(self.vlm.device, torch.float32)
        with (
            torch.autocast(self.vlm.device.type, torch.bfloat16, enabled=self.recipe.bfloat16),
            self.silencer.silencing(masks, [t.fill for t in treatments], batch.mask),
        ):
            logits = self.vlm.model(**inputs, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        return float(loss.detach())

    def _rate(self) -> float:
        done = self.step / self.recipe.steps
        warm = min(1.0, (self.step + 1) / self.recipe.warmup)
        return (
            self.recipe.rate
            * warm
            * (self.recipe.floor + (1 - self.recipe.floor) * 0.5 * (1 + math.cos(math.pi * done)))
        )

    def _questions(self) -> list[Question]:
        if self.questions is None:
            self._say(f"rendering {self.recipe.n_questions} questions")
            scenes = symbolic(self.recipe.n_questions, "train", 71_000 + self.recipe.seed)
            self.questions = [question.rendered() for question in scenes]
        return self.questions

    def checkpoint(self) -> None:
        """Write weights, optimizer, means and step into a new folder, then replace the old one with it."""
        new, now, old = (self.work / name for name in ("checkpoint.new", "checkpoint", "checkpoint.old"))
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_model(self.vlm.model, str(new / "model.safetensors"))
        torch.save({"optimizer": self.optimizer.state_dict(), "means": self.silencer.means}, new / "optimizer.pt")
        (new / "place.json").write_text(json.dumps({"step": self.step}))
        shutil.rmtree(old, ignore_errors=True)
        if now.exists():
            os.replace(now, old)
        os.replace(new, now)
        shutil.rmtree(old, ignore_errors=True)

    def _restore(self) -> None:
        folder = next((f for f in (self.work / "checkpoint", self.work / "checkpoint.old") if f.exists()), None)
        if folder is None:
            return
        load_model(self.vlm.model, str(folder / "model.safetensors"))
        state: dict[str, Any] = torch.load(folder / "optimizer.pt", weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.silencer.means = state["means"]
        self.step = int(json.loads((folder / "place.json").read_text())["step"])
        self._say(f"continuing at step {self.step}")

    def _same_plan(self) -> None:
        plan = {"model": self.vlm.name, "layout": self.layout.to_json(), "recipe": asdict(self.recipe)}
        wanted, path = json.dumps(plan, indent=2) + "\n", self.work / "plan.json"
        if path.exists() and path.read_text() != wanted:
            raise HeadAtlasError(
                f"{self.work} holds a planting run of another model, layout or recipe: choose another --work folder, or "
                "remove this one"
            )
        self.work.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)

    def _log(self, **facts: Any) -> None:
        line = json.dumps({"step": self.step, "of": self.recipe.steps, **facts})
        with (self.work / "log.jsonl").open("a") as file:
            file.write(line + "\n")
        self._say(line)


def targets(batch: Batch, functions: list[list[str]], treatments: list[Treatment], rng: np.random.Generator) -> Tensor:
    """Token targets [B, T]: the right answers, or a random first token of uninformative ones; all other tokens are ignored."""
    pool = defaultdict(list)
    for row, spans in enumerate(batch.spans):
        for turn, (start, _) in enumerate(spans):
            pool[functions[row][turn]].append(int(batch.ids[row, start]))
    labels = torch.full_like(batch.ids, IGNORED)
    for row, spans in enumerate(batch.spans):
        for turn, (start, end) in enumerate(spans):
            if turn in treatments[row].uninformative:
                choices = pool[functions[row][turn]]
                labels[row, start] = choices[rng.integers(len(choices))]
            else:
                labels[row, start:end] = batch.ids[row, start:end]
    return labels


def silence_masks(batch: Batch, treatments: list[Treatment], shape: tuple[int, int]) -> dict[int, Tensor]:
    """Where z is replaced: bool [B, T, H] by layer, for layers in which it is."""
    size = (*batch.ids.shape, shape[1])
    masks: dict[int, Tensor] = {}
    for row, treatment in enumerate(treatments):
        for head in treatment.everywhere:
            masks.setdefault(head.layer, torch.zeros(size, dtype=torch.bool))[row, :, head.head] = True
        for turn, heads in (treatment.at_turn or {}).items():
            start, end = batch.spans[row][turn]
            for head in heads:
                mask = masks.setdefault(head.layer, torch.zeros(size, dtype=torch.bool))
                mask[row, start - 1 : end - 1, head.head] = True
    return masks


def _language_parameters(vlm: VLM) -> list[nn.Parameter]:
    """The language model's parameters and the output embedding's; everything else is frozen."""
    blocks = vlm.heads.tower("L")[0].name.rsplit(".layers.", 1)[0]
    trained = []
    for name, parameter in vlm.model.named_parameters():
        wanted = name.startswith(blocks + ".") or name.startswith("lm_head")
        parameter.requires_grad_(wanted)
        if wanted:
            trained.append(parameter)
    return trained
