"""Find redundant heads, which have no effect when removed alone, by removing several heads at once.

If two heads do the same work, removing one has no effect, because the other still does it. So heads are also removed together:

1. Greedily: the head whose removal harms the answer most is removed, then the one that harms it most in addition, and so on,
   until the model changes its answer.
2. At random, among all other heads, because the greedy search misses three heads of which any one is enough. The most harmful of
   many random sets is taken, and every head that it does not need is put back.
3. In pairs, among the heads of both sets and those with the largest single effects. The interaction is the effect of removing
   both minus the sum of both effects.
4. As controls, random sets of the same size from the same layers.

The heads are chosen on the answer on which they are measured. This describes one answer; it is not a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from headatlas.engine import sweep
from headatlas.explaining.alternatives import answered
from headatlas.explaining.effects import HeadEffects, log_odds, removal
from headatlas.heads import Head, HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.operations import Means
from headatlas.progress import Progress
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM

LEAST_GAIN = 0.05
"""A set grows by a further head only if that costs the answer so many nats more."""
ENOUGH = 0.8
"""Share of a random set's effect that must remain when heads that it does not need are put back."""
HIDDEN = 0.25
"""Interaction, in nats, from which two heads count as redundant."""
READ = 3
"""Number of answers read under joint removal: the explained one and the most likely others."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Joint effects on one answer: falls of its log-odds, nats.

    Attributes:
        path: the heads of each set in order, one row per head: `set`, `k` heads removed so far, `head` (the one added), `effect`
            of all k together, `alone` (the sum of their single effects), `p` of the answer (0..1), whether it is still the greedy
            answer (`kept`).
        sets: one row per set: `search` (`greedy` or `random`), `heads`, `effect`, `alone`, `p`, `kept`, and the effects of
            `n_random` random sets of as many heads, from the same layers as far as possible: their mean `random`, and the number
            of those that are `as_large`.
        pairs: `head_a`, `head_b`, `alone_a`, `alone_b`, `both`, `interaction` = both - alone_a - alone_b; above 0 the two are
            redundant, below 0 each needs the other. Largest first.
    """

    path: pd.DataFrame
    sets: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def heads(self) -> list[HeadSet]:
        """The sets, each in the order in which its heads were removed."""
        return [
            HeadSet(text, f"joint removal, {how} search")
            for text, how in zip(self.sets["heads"], self.sets["search"], strict=True)
        ]

    @property
    def hidden(self) -> HeadSet:
        """Heads that matter more together than alone: of each pair with an interaction of at least 0.25 nats, those whose effect
        alone is less than half the interaction."""
        names: dict[str, None] = {}
        for row in self.pairs.to_dict("records"):
            for end in "ab":
                if row["interaction"] >= HIDDEN and abs(row[f"alone_{end}"]) < row["interaction"] / 2:
                    names[row[f"head_{end}"]] = None
        return HeadSet(list(names), "an effect together, little alone")

    def __repr__(self) -> str:
        sets = "; ".join(f"{row['heads']} {row['effect']:+.2f} nats" for row in self.sets.to_dict("records"))
        return f"Groups({sets or 'none'}; {len(self.pairs)} pairs; hidden: {self.hidden or 'none'})"


def find_groups(
    vlm: VLM,
    chat: Conversation,
    effects: HeadEffects,
    candidates: Heads | None = None,
    most: int = 6,
    n_search: int = 40,
    among: int = 8,
    n_random: int = 20,
    means: Means | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Groups:
    """Look for heads that matter together.

    Args:
        vlm, chat, means: as in `head_effects`.
        effects: the single effects.
        candidates: heads that a set may take; None: all.
        most: largest number of heads of a set. The greedy search also ends where the model changes its answer, or no head costs
            0.05 nats more; the random search draws sets of this size.
        n_search: random sets that are tried.
        among: heads whose pairs are measured.
        n_random: random sets beside each set.
        seed: of the random sets.
        progress: called as `progress("groups", done, total)`; the total is the most that can be needed.
    """
    pool = list(effects.heads if candidates is None else as_heads(candidates)) or list(effects.heads)
    total = most * len(pool) + n_search + most * (most + 3) // 2 + 2 * n_random + among * (among - 1) // 2
    joint = _Joint(vlm, chat, effects, means, progress, total)
    single = dict(zip(effects.heads, effects.effect.tolist(), strict=True))
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    sets: list[tuple] = []
    used: list[Head] = []
    for number, search in enumerate(("greedy", "random"), 1):
        rest = [head for head in pool if head not in used]
        steps = _greedy(joint, rest, most) if search == "greedy" else _random(joint, rest, most, n_search, rng)
        if not steps:
            continue
        chosen = [head for head, *_ in steps]
        alone = np.cumsum([single[head] for head in chosen])
        for k, (head, effect, p, kept) in enumerate(steps, 1):
            rows.append((number, k, str(head), effect, float(alone[k - 1]), p, kept))
        random = [effect for effect, _, _ in joint.effects(_alike(chosen, list(effects.heads), used, n_random, rng))]
        _, effect, p, kept = steps[-1]
        mean, as_large = (float(np.mean(random)), int(np.sum(np.array(random) >= effect))) if random else (np.nan, 0)
        names = " ".join(map(str, chosen))
        sets.append((search, names, effect, float(alone[-1]), p, kept, mean, as_large, len(random)))
        used += chosen
    ranked = sorted(effects.heads, key=lambda head: -single[head])
    couples = list(combinations(list(dict.fromkeys([*used, *ranked]))[:among], 2))
    pairs = [
        (str(a), str(b), single[a], single[b], effect, effect - single[a] - single[b])
        for (a, b), (effect, _, _) in zip(couples, joint.effects(couples), strict=True)
    ]
    joint.end()
    table = pd.DataFrame(pairs, columns=["head_a", "head_b", "alone_a", "alone_b", "both", "interaction"])
    return Groups(
        pd.DataFrame(rows, columns=["set", "k", "head", "effect", "alone", "p", "kept"]),
        pd.DataFrame(
            sets, columns=["search", "heads", "effect", "alone", "p", "kept", "random", "as_large", "n_random"]
        ),
        table.sort_values("interaction", ascending=False, ignore_index=True),
    )


class _Joint:
    """Joint effects of sets of heads on the explained answer."""

    def __init__(
        self,
        vlm: VLM,
        chat: Conversation,
        effects: HeadEffects,
        means: Means | None,
        progress: Progress | None,
        total: int,
    ) -> None:
        self._vlm, self._means = vlm, means
        self._chats = [answered(chat, text) for text in effects.answers[:READ]]
        self._progress, self._done, self._total = progress, 0, total

    def effects(self, sets: Sequence[Sequence[Head]]) -> list[tuple[float, float, bool]]:
        """(fall of log-odds, probability, whether greedy decoding still gives the answer) of each set."""
        if not sets:
            return []
        n = len(self._chats)
        report = None if self._progress is None else lambda what, done, total: self._tell(done // n)
        edits = [[removal(HeadSet(some), self._means)] for some in sets]
        result = sweep(self._vlm, self._chats, edits, progress=report)
        self._done += len(sets)
        last = np.cumsum(result.turns) - 1
        fall = log_odds(result.bare[0][last]) - log_odds(result.logprob[:, last])
        p = np.exp(result.logprob[:, last[0]])
        return list(zip(fall.tolist(), p.tolist(), result.exact[:, last[0]].tolist(), strict=True))

    def end(self) -> None:
        """Report that all is done."""
        if self._progress is not None:
            self._progress("groups", self._total, self._total)

    def _tell(self, done: int) -> None:
        assert self._progress is not None
        self._progress("groups", min(self._done + done, self._total), self._total)


def _greedy(joint: _Joint, pool: Sequence[Head], most: int) -> list[tuple[Head, float, float, bool]]:
    """(head, joint effect, p, kept) after each removal."""
    steps: list[tuple[Head, float, float, bool]] = []
    before = 0.0
    while len(steps) < min(most, len(pool)):
        chosen = [head for head, *_ in steps]
        rest = [head for head in pool if head not in chosen]
        outcomes = joint.effects([(*chosen, head) for head in rest])
        best = int(np.argmax([effect for effect, _, _ in outcomes]))
        effect, p, kept = outcomes[best]
        if effect < before + LEAST_GAIN:
            break
        steps.append((rest[best], effect, p, kept))
        before = effect
        if not kept:
            break
    return steps


def _random(
    joint: _Joint, pool: Sequence[Head], most: int, n: int, rng: np.random.Generator
) -> list[tuple[Head, float, float, bool]]:
    """The most harmful of `n` random sets without the heads that it does not need, as `_greedy` gives it."""
    size = min(most, len(pool))
    if size < 2:
        return []
    sets = [[pool[int(i)] for i in rng.choice(len(pool), size, replace=False)] for _ in range(n)]
    effects = [effect for effect, _, _ in joint.effects(sets)]
    whole = max(effects)
    if whole < LEAST_GAIN:
        return []
    chosen = sets[int(np.argmax(effects))]
    while len(chosen) > 1:
        outcomes = joint.effects([[h for h in chosen if h != out] for out in chosen])
        best = int(np.argmax([effect for effect, _, _ in outcomes]))
        if outcomes[best][0] < ENOUGH * whole:
            break
        chosen.pop(best)
    steps = joint.effects([chosen[: k + 1] for k in range(len(chosen))])
    return [(head, *one) for head, one in zip(chosen, steps, strict=True)]


def _alike(
    chosen: Sequence[Head], heads: Sequence[Head], used: Sequence[Head], n: int, rng: np.random.Generator
) -> list[tuple[Head, ...]]:
    """Random sets without the chosen heads and those of earlier sets: as many of each layer, or of any layer where one has too
    few others."""
    free = [head for head in heads if head not in chosen and head not in used]
    if len(free) < len(chosen):
        return []
    sets = []
    for _ in range(n):
        some: list[Head] = []
        for head in chosen:
            same = [h for h in free if (h.tower, h.layer) == (head.tower, head.layer) and h not in some]
            other = same or [h for h in free if h not in some]
            some.append(other[int(rng.integers(len(other)))])
        sets.append(tuple(some))
    return sets
