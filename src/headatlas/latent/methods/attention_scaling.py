"""The methods `attention_scaling` (AdaptVis, arXiv 2503.01773) and `attention_scaling_heads`, the same in the chosen heads only.

At the last position of the prompt the attention logits of all image tokens are multiplied by w, in every layer: w > 1 (sharper)
where the unchanged model is confident of its answer, w < 1 (smoother) where it is not. It is confident if the probability of its
most likely first token reaches a threshold, the median on split P. Both weights are tuned on split T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch

from headatlas.cogvsr.functions import SPATIAL
from headatlas.heads import HeadSet, scale_attention
from headatlas.latent.by_turn import BareTurns, around_turns
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM, conversation
from headatlas.vlm.loss import answer_logits, batched


@method("attention_scaling")
@dataclass
class AttentionScaling:
    """Sharpen or smooth the attention to the image, depending on the model's confidence, in all heads.

    Args:
        low, high: weights tried for unconfident and for confident answers.
        everywhere: whether all heads are changed, as published, or only the chosen ones.

    Attributes:
        threshold: of the first token's probability, 0..1.
        weights: (weight where unconfident, weight where confident) as tuned; None for none.
    """

    low: Sequence[float] = (0.5, 0.8)
    high: Sequence[float] = (1.2, 1.5, 2.0)
    everywhere: bool = True
    name: str = "attention_scaling"
    controls: tuple[str, ...] = ("shuffled",)
    needs: tuple[str, ...] = ("attention",)
    heads: HeadSet = field(default_factory=lambda: HeadSet(()))
    threshold: float = 0.5
    weights: tuple[float, float] | None = None
    shuffled: bool = False
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """Two weights and a threshold."""
        return Cost(parameters=3)

    def fit(self, inputs: MethodInputs) -> None:
        """Take the median confidence on split P as the threshold."""
        self.heads, self.weights, self.shuffled = inputs.spatial_heads, None, inputs.control == "shuffled"
        if self.everywhere:
            self.heads = inputs.vlm.heads.heads("L")
        if not self.heads:
            self.reason = "no heads are chosen"
            return
        self.threshold = float(np.median(spatial_confidences(inputs)))

    def tune(self, inputs: MethodInputs) -> None:
        """Choose both weights on split T."""
        if not self.heads:
            return
        pairs = list(product(self.low, self.high))
        tune_strength(self, inputs, pairs, self._use, values=[high / low for low, high in pairs])

    def _use(self, weights: tuple[float, float] | None) -> None:
        self.weights = weights

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block each answer has the weight that its confidence chooses."""
        if self.weights is None:
            yield
            return
        edits = [[scale_attention(self.heads, "image", weight)] for weight in self.weights]
        key = f"{self.name}:{self.threshold!r}:{self.weights}:{self.shuffled}:{self.heads.sorted()}"
        with around_turns(vlm, self._decide, edits, "first", key):
            yield

    def _decide(self, bare: BareTurns) -> list[int]:
        sure = (bare.confidences >= self.threshold).tolist()
        if self.shuffled:  # the control: each weight for as many answers of the batch, but regardless of confidence
            sure = [sure[i] for i in np.random.default_rng(len(sure)).permutation(len(sure))]
        return list(map(int, sure))


@method("attention_scaling_heads")
@dataclass
class AttentionScalingHeads(AttentionScaling):  # pyright: ignore[reportGeneralTypeIssues]
    """`attention_scaling` in the chosen heads only."""

    everywhere: bool = False
    name: str = "attention_scaling_heads"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "shuffled")
    needs: tuple[str, ...] = ("attention", "heads")


@torch.no_grad()
def spatial_confidences(inputs: MethodInputs) -> np.ndarray:
    """The probability of the likeliest first token of each spatial answer of split P, in the unchanged model."""
    questions = inputs.questions("P")
    probabilities = []
    for rows, batch in batched(inputs.vlm, [conversation(q) for q in questions], inputs.batch_size, refused={}):
        answers = answer_logits(inputs.vlm, batch)
        first = torch.cat([answers.turn.new_ones(1), answers.turn.diff()]).bool()
        best = answers.logits[first].softmax(-1).amax(-1).tolist()
        steps = [step for row in rows for step in questions[row].steps]
        probabilities += [p for p, step in zip(best, steps, strict=True) if step.function in SPATIAL]
    return np.array(probabilities or [0.5])
