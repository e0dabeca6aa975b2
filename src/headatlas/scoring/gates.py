"""The scorers `gates` and `gates_keeping` (A4): small sets of heads, found by gates that are fitted together.

Each head has a gate for each function, z' = g z + (1 - g) mean, with g in 0..1. The gates are drawn again for every conversation
from a hard-concrete distribution (Louizos et al. 2018), whose logits are fitted on split P while the model is frozen:

* *breaking*: answers to the function's steps are to become as unlikely as a guess among the valid answers, at the price of `cost`
  nats per closed head. Losing the *form* of the answers costs half as much as it loses, so that breaking the model is of no use.
* *keeping*: answers are to stay likely at the price of `cost` nats per open head: what is left is sufficient.

Where heads stand in for each other, no gate has a gradient while all others are open, and if most gates are closed, nothing is
left to lose. So breaking gates begin half closed for those heads that random subsets show to matter most to the function, and
nearly open for the others; keeping gates begin nearly open. The price rises from 0 over the first half of the fit. Heads that
every step needs stay intact and are not scored (`damage_readings.screen`, on split P).

The set of a function are the heads that are closed (breaking) or open (keeping) with a probability of 1/2 or more, on average
over several fits. A head's score is measured on split S: what the set costs less what it costs without this head (breaking);
what losing the head costs if all others are gone already that are not in the set (keeping). Heads outside the set score 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads.grid import Site
from headatlas.heads.hooks import at_sites
from headatlas.intervention.operations import Means, mean_tokens, mean_z
from headatlas.registry import near
from headatlas.scoring.ablation import SingleHeadDamage, scores_of
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, labels_of, scorer
from headatlas.scoring.damage_readings import DamageReadings, Readings, Screen, check_functions, head_number, screen
from headatlas.scoring.redundancy import MARGIN
from headatlas.scoring.valid_answers import valid_tokens
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import conversations
from headatlas.vlm.loss import answer_logits, batched

Form = Literal["breaking", "keeping"]

FORM = 0.5
"""Price of a nat of lost mass on valid answers. Planted heads lose form and content alike, so at 1 they would gain nothing."""
LEAST = -8.0
"""Log-probabilities are clipped at this value, nats, so that very wrong answers do not dominate the keeping form."""
HALF_CLOSED, NEARLY_OPEN = 12, 2.5
"""How many gates of each function begin half closed, and the logit with which the others begin (open in 92 %)."""
TEMPERATURE, STRETCH = 2 / 3, 0.1
"""Of the hard-concrete distribution: gates are exactly 0 or 1 outside a sigmoid stretched by this much on either side."""


def _gates(form: Form, inputs: ScoringInputs, options: dict[str, Any]) -> Scores:
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'gates' runs the model; pass vlm= and data= to score()")
    inputs.only_language("gates")
    names = [one.name for one in fields(_Options)]
    for name in options:
        if name not in names:
            raise HeadAtlasError(
                f"options of the scorer must be among {', '.join(names)}; got {name!r}{near(name, names)}"
            )
    chosen = _Options(**options)
    for name in ("steps", "seeds", "fit_questions", "questions", "batch_size", "lr", "cost"):
        value, counted = options.get(name, 1), name not in ("lr", "cost")
        if not (value >= 1 if counted else value > 0):
            raise HeadAtlasError(f"option {name!r} must be {'1 or more' if counted else 'above 0'}, got {value!r}")
    started = time.perf_counter()
    means = mean_z(inputs.activations, inputs.fit) if chosen.means is None else chosen.means
    tokens = mean_tokens(inputs.activations) if chosen.means is None else "given"
    layers, heads = inputs.vlm.heads.shape
    fitted, readings = (
        DamageReadings(inputs, _first(inputs, split, chosen.questions), "mean", means, "all", chosen.batch_size)
        for split in (inputs.fit, inputs.on)
    )
    labels = labels_of(readings.table)
    for split, of in ((inputs.fit, fitted), (inputs.on, readings)):
        check_functions(labels_of(of.table), "gates", f"the first {chosen.questions} questions of split {split}")
    found = screen(fitted, np.random.default_rng(inputs.seed))
    free = np.ones(layers * heads, bool)
    free[found.backbone] = False

    fit = _Fit(inputs, means, free.reshape(layers, heads), _begun(found, free, form), form, chosen)
    probability = np.stack([fit.run(seed) for seed in range(chosen.seeds)])  # [seeds, F, n], of being in the set
    members = (probability.mean(0) >= 0.5) & free
    per_step = _measured(readings, members, free, form).reshape(len(FUNCTIONS), len(labels), layers, heads)
    nothing = np.zeros((len(labels), layers, heads), np.float32)
    each = [
        scores_of(
            SingleHeadDamage(readings.table, lost, nothing), "logprob", MARGIN, "heads", inputs.n_null, inputs.seed
        )
        for lost in per_step
    ]  # what a head costs a step depends on the function whose set it is in
    values = np.stack([one.values[c] for c, one in enumerate(each)])
    arrays = {key: np.stack([one.arrays[key][c] for c, one in enumerate(each)]) for key in ("low", "high")}
    pvalues = null = None
    if each[0].pvalues is not None and each[0].null is not None:
        inside = members.reshape(values.shape)
        pvalues = np.where(inside, np.stack([one.pvalues[c] for c, one in enumerate(each)]), 1.0)  # type: ignore[index]
        null = np.stack([one.null[:, c] for c, one in enumerate(each)], 1)  # type: ignore[index]
    step, function = np.nonzero(labels)
    clusters = pd.factorize(scenes_of(readings.table))[0].astype(np.int64)
    per_sample = PerSample(per_step[function, step], function.astype(np.int64), clusters[step])
    named = {
        name: [str(head_number(int(i), heads)) for i in np.argsort(-values[c].ravel()) if members[c, i]]
        for c, name in enumerate(FUNCTIONS)
    }
    info = {
        "unit": "nats", "form": form, "mean_tokens": tokens, "questions": int(readings.table["question"].nunique()),
        "cost": chosen.cost, "steps": fit.steps,
        "seeds": chosen.seeds, "agreement": _agreement(probability[:, labels.any(0)][:, :, free]), "sets": named,
        "backbone": [str(head_number(int(i), heads)) for i in found.backbone], "seconds": time.perf_counter() - started,
        "absent": [name for c, name in enumerate(FUNCTIONS) if not labels[:, c].any()],
    }  # fmt: skip
    arrays["probability"] = probability.mean(0).reshape(values.shape)
    name = "gates" if form == "breaking" else "gates_keeping"
    return Scores(name, values, null, pvalues, each[0].info | info, arrays, per_sample)


@dataclass(frozen=True)
class _Options:
    """Options of both scorers, see `gates`."""

    means: Means | None = None
    steps: int = 150
    seeds: int = 3
    lr: float = 0.3
    cost: float = 0.05
    fit_questions: int = 160
    questions: int = 32
    batch_size: int = 16


@scorer(
    "gates",
    title="breaking gates",
    label="Gates, breaking (A4)",
    description="How much a head adds to the damage of a small set of heads that, together, loses a function's answers.",
    unit="nats",
    least=0.02,
    twin=False,
)
def gates(inputs: ScoringInputs, **options: Any) -> Scores:
    """What a small set of heads, whose loss destroys a function's answers, costs less without each of them.

    Args:
        inputs: needs `vlm` and `data`; gates are fitted on split `inputs.fit`, heads are scored on `inputs.on`.
        options: `means`: mean z `[L, H, D]`, from the activations if None; `steps`: updates of a fit (150), `seeds`: fits (3),
            `lr`: of the gates' logits (0.3), `cost`: of a head in the set, nats (0.05); `fit_questions` (160) and `questions`
            (32): how many of each split are used; `batch_size` (16).

    Returns:
        Scores, in nats; 0 with p 1 outside the set and for the backbone. The null flips the sign of each scene's contributions.
        `info["sets"]`: the set of each function, best head first; `info["backbone"]`; `info["agreement"]`: mean rank correlation
        of the fits' probabilities, None for a single fit. `arrays["probability"]`: of being in the set `[F, L, H]`;
        `arrays["low"]`, `arrays["high"]`: 95 % bounds of the scores.

    Raises:
        UnscorableError: the questions have steps of fewer than three functions.
        HeadAtlasError: `vlm` or `data` is missing, an option is out of range, or the model flattens its batches.
    """
    return _gates("breaking", inputs, options)


@scorer(
    "gates_keeping",
    title="keeping gates",
    label="Gates, keeping (A4)",
    description="How much the loss of a head costs when only a small set of heads, which suffices for a function, is left.",
    unit="nats",
    least=0.02,
    twin=False,
)
def gates_keeping(inputs: ScoringInputs, **options: Any) -> Scores:
    """What the loss of a head costs when only a small set of heads is left that suffices for a function's answers.

    Arguments, result and errors as of `gates`.
    """
    return _gates("keeping", inputs, options)


@dataclass(frozen=True, eq=False)
class _FitBatch:
    """A batch of split P: the functions of its turns, the valid first tokens, and the mass on them in the intact model."""

    batch: Batch
    row: Int[Tensor, " turns"]
    functions: Bool[Tensor, "turns F"]
    valid: Bool[Tensor, "turns V"]
    first: Int[Tensor, " turns"]
    before: Float[Tensor, " turns"]


class _Fit:
    """Fits gates on split P: each conversation is run under the gates of one of its functions, drawn again each time."""

    def __init__(
        self,
        inputs: ScoringInputs,
        means: Means,
        free: Bool[np.ndarray, "L H"],
        begun: Float[np.ndarray, "F n"],
        form: Form,
        options: _Options,
    ) -> None:
        self._begun = torch.from_numpy(begun.reshape(-1, *free.shape)).float()
        self._inputs, self._form, self._options = inputs, form, options
        vlm = inputs.vlm
        self._vlm, self._device = vlm, vlm.device
        self._free = torch.from_numpy(free).to(vlm.device)
        self._means = torch.as_tensor(np.asarray(means), device=vlm.device)
        questions = _first(inputs, inputs.fit, options.fit_questions)
        chats = conversations(questions)
        valid = valid_tokens(vlm, questions, chats)
        starts = np.concatenate([[0], np.cumsum([len(q.steps) for q in questions])]).astype(int)
        self._batches = [
            self._prepared(batch, rows, [(valid[starts[r] + k], step) for r in rows for k, step in enumerate(questions[r].steps)])
            for rows, batch in batched(vlm, chats, options.batch_size)
        ]  # fmt: skip
        self.steps = options.steps

    def _prepared(self, batch: Batch, rows: Sequence[int], turns: Sequence[tuple[frozenset[int], Any]]) -> _FitBatch:
        with torch.no_grad():
            bare = answer_logits(self._vlm, batch)
        device = bare.logits.device
        first = torch.searchsorted(bare.turn, torch.arange(bare.n_turns, device=device))
        valid = torch.zeros(len(turns), bare.logits.shape[-1], dtype=torch.bool, device=device)
        functions = torch.zeros(len(turns), len(FUNCTIONS), dtype=torch.bool, device=device)
        for i, (tokens, step) in enumerate(turns):
            valid[i, sorted(tokens)] = True
            functions[i, [FUNCTIONS.index(name) for name in step.functions]] = True
        row = torch.tensor([b for b, spans in enumerate(batch.spans) for _ in spans], device=device)
        return _FitBatch(batch, row, functions, valid, first, _mass(bare.logits[first], valid))

    def run(self, seed: int) -> Float[np.ndarray, "F n"]:
        """One fit: the probability of every head to be in the set of each function; 0 for heads that are not free."""
        inputs, options = self._inputs, self._options
        rng = np.random.default_rng([inputs.seed, seed])
        noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        logits = self._begun.to(self._device, copy=True).requires_grad_(True)
        optimizer = torch.optim.Adam([logits], lr=options.lr)
        order: Iterator[int] = iter(())
        for step in range(options.steps):
            for group in optimizer.param_groups:
                group["lr"] = options.lr * 0.5 * (1 + float(np.cos(np.pi * step / options.steps)))
            number = next(order, None)
            if number is None:
                order = iter(rng.permutation(len(self._batches)).tolist())
                number = next(order)
            loss = self._loss(logits, self._batches[number], rng, noise, min(1.0, 2 * step / options.steps))
            if not bool(loss.isfinite()):
                raise HeadAtlasError(
                    f"{self._vlm.name}: the loss of the gates must be finite, got {float(loss)}; try bfloat16"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            inputs.report(f"gates, fit {seed + 1} of {options.seeds}", step + 1, options.steps)
        opened = torch.sigmoid(logits.detach()).cpu()
        inside = 1 - opened if self._form == "breaking" else opened
        return (inside * self._free.cpu()).reshape(len(FUNCTIONS), -1).numpy().astype(float)

    def _loss(
        self, logits: Tensor, one: _FitBatch, rng: np.random.Generator, noise: torch.Generator, share: float
    ) -> Float[Tensor, ""]:
        n_rows = len(one.batch.starts)
        there = (
            torch.zeros(n_rows, len(FUNCTIONS), device=one.row.device).index_add(0, one.row, one.functions.float()) > 0
        )
        of_row = torch.tensor(
            [int(rng.choice(np.flatnonzero(each))) for each in there.cpu().numpy()], device=one.row.device
        )
        wanted = one.functions[torch.arange(len(one.row), device=one.row.device), of_row[one.row]]
        mine = logits[of_row.to(self._device)]  # [B, L, H]
        uniform = torch.rand(mine.shape, generator=noise).clamp(1e-6, 1 - 1e-6).to(self._device)
        with torch.enable_grad():
            drawn = torch.sigmoid((uniform.logit() + mine) / TEMPERATURE) * (1 + 2 * STRETCH) - STRETCH
            gate = torch.where(self._free, drawn.clamp(0, 1), 1.0)
            with gated(self._vlm, gate, self._means):
                out = answer_logits(self._vlm, one.batch)
            mass = _mass(out.logits[one.first], one.valid)
            gold = -out.nll()
            inside = torch.sigmoid(-mine if self._form == "breaking" else mine)
            price = share * self._options.cost * (inside * self._free).sum((1, 2)).mean()
            if self._form == "keeping":
                return -gold.clamp(min=LEAST)[wanted].mean() + price
            guess = -one.valid.sum(-1).log()  # below a guess nothing is left to lose
            among, format_lost = torch.maximum(gold - mass, guess), (one.before - mass).clamp(min=0.0)
            return (among + FORM * format_lost)[wanted].mean() + price


def _first(inputs: ScoringInputs, name: str, n: int) -> list[Any]:
    """The first n questions of a split, or all of them."""
    split = inputs.data.split(name)
    return [split[i] for i in range(min(n, len(split)))]


def _begun(found: Screen, free: Bool[np.ndarray, " n"], form: Form) -> Float[np.ndarray, "F n"]:
    """The logits with which a fit begins."""
    begun = np.full(found.among.shape, NEARLY_OPEN)
    if form == "breaking":
        share = np.where(free, found.among, -np.inf)
        for c, best in enumerate(np.argsort(-share, axis=1)[:, :HALF_CLOSED]):
            begun[c, best] = 0.0
    return begun


def gated(vlm: Any, gates: Float[Tensor, "*B L H"], means: Float[Tensor, "L H D"]) -> AbstractContextManager[None]:
    """Within the block z' = g z + (1 - g) mean in every head of the language model, differentiably; with gates of each row, or
    the same for all rows.

    Raises:
        HeadAtlasError: in a forward whose rows are not those of the gates, as where the model flattens its batch.
    """

    def act(site: Site, hidden: Tensor) -> Tensor:
        if gates.ndim == 3 and (hidden.ndim != 3 or len(hidden) != len(gates)):
            raise HeadAtlasError(
                f"z must be [rows, tokens, ...] with {len(gates)} rows for gates of each row, got {tuple(hidden.shape)}"
            )
        gate = gates[..., site.layer, : site.n_heads, None].to(hidden)
        gate = gate[:, None] if gates.ndim == 3 else gate  # [B, 1, H, 1] or [H, 1]
        mean = means[site.layer, : site.n_heads, : site.d_head].to(hidden)
        return (site.split(hidden) * gate + (1 - gate) * mean).reshape(hidden.shape)

    return at_sites(vlm.heads, vlm.heads.tower("L"), act, "fit", vlm.model)


def _mass(logits: Float[Tensor, "turns V"], valid: Bool[Tensor, "turns V"]) -> Float[Tensor, " turns"]:
    """Log of the probability mass on the valid first tokens."""
    return logits.log_softmax(-1).masked_fill(~valid, -torch.inf).logsumexp(-1)


def _measured(
    readings: Readings, members: Bool[np.ndarray, "F n"], free: Bool[np.ndarray, " n"], form: Form
) -> Float[np.ndarray, "F N n"]:
    """What each head of each function's set contributes to every step, nats."""
    base = members if form == "breaking" else free & ~members
    sets, owners = [], []
    for c in np.flatnonzero(members.any(1)):
        others = [base[c] ^ (np.arange(members.shape[1]) == i) for i in np.flatnonzero(members[c])]
        owners.append((int(c), len(sets)))
        sets += [base[c], *others]
    out = np.zeros((len(members), len(readings.table), members.shape[1]), np.float32)
    if not sets:
        return out
    damage, _, mass, _ = readings.damage(sets)
    for c, at in owners:
        inside = np.flatnonzero(members[c])
        whole, each = damage[at], damage[at + 1 : at + 1 + len(inside)]
        # Without a valid answer left, the answer shows nothing: steps count by the mass on valid answers of the larger loss.
        lost = (whole - each) * mass[at] if form == "breaking" else (each - whole) * mass[at + 1 : at + 1 + len(inside)]
        out[c][:, inside] = lost.T
    return out


def _agreement(probability: Float[np.ndarray, "seeds F n"]) -> float | None:
    """Mean rank correlation between fits, over functions."""
    found = [
        float(stats.spearmanr(a[c], b[c]).statistic)
        for a, b in combinations(probability, 2)
        for c in range(probability.shape[1])
        if np.ptp(a[c]) > 0 and np.ptp(b[c]) > 0
    ]
    return float(np.mean(found)) if found else None
