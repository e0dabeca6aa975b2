"""The summaries of an attention row, and how they are computed.

Sinks (VAR, arXiv 2503.03321) are tokens, also of the picture, that get attention whatever is asked. Their hidden states have a
very large feature, the same as the first token's. Attention on such a patch is not counted as attention on the thing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor
from torch.linalg import vector_norm

from headatlas.activations.localisation import Maps, alike
from headatlas.heads import AttentionRows
from headatlas.vlm.batch import Batch
from headatlas.vlm.image_tokens import tokens_of

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

SUMMARIES = (
    *(
        "image",
        "target",
        "random",
        "foreign",
        "question",
        "first",
        "sink",
        "image_sink",
        "entropy",
        "top_in_target",
        "localisation",
    ),
)
"""The summaries of a row.

* `image`: the mass on the image tokens.
* `target`, `random`, `foreign`: the mass on the patches (`ImageTokens.touching`) of the step's own boxes; of as many boxes of the
  same sizes at random places, the mean of `N_RANDOM` draws; of the boxes of up to `N_FOREIGN` other questions' steps. Image
  tokens that are sinks do not count in them.
* `question`, `first`: the mass on the words of the step's own turn, and on the first token.
* `sink`: the share of a learned sink, 0 in most families.
* `image_sink`: the mass on image tokens that are sinks (`sink_tokens`).
* `entropy`: of the row, nats.
* `top_in_target`: 1 if the most attended key is one of the target's patches, else 0.
* `localisation`: spatial entropy of the map on the picture, nats; low if it is one spot (arXiv 2503.06287).

NaN where a step has no boxes, or a row no mass on the image."""

N_RANDOM, N_FOREIGN = 16, 4

IMAGE, WORDS, FIRST, ANY, ON_SINK, BOXES = range(6)
"""Columns of the features of a key, over which a row's mass is summed: on the image, in the step's turn, first, any, a sink of
the image; then, one column a set, on one of its boxes and no sink: the target, N_RANDOM random sets, N_FOREIGN of others."""
TARGET, N_COLUMNS = BOXES, BOXES + 1 + N_RANDOM + N_FOREIGN

SINK = 20.0
"""A feature marks a sink if it is at least so many times its token's RMS."""

Corners = list[tuple[float, float, float, float]]


def sink_tokens(
    hidden: Float[Tensor, "B T d"], first: Int[Tensor, " B"], real: Bool[Tensor, "B T"], least: float = SINK
) -> Bool[Tensor, "B T"]:
    """Tokens with a feature of at least `least` times the token's RMS where the first token has one too.

    Features that are so large at more than half of a row's tokens do not count. A model of width d < `least`^2 has no sinks.

    Args:
        hidden: input of a block.
        first: position of each row's first token.
        real: False at padding.
        least: the threshold, VAR's 20.
    """
    if hidden.shape[-1] < least**2:
        return torch.zeros_like(real)
    # Of a token's d squares, at most d / least^2 reach least^2 times their mean: only these features of the first token count.
    most = min(hidden.shape[-1], int(hidden.shape[-1] / least**2) + 1)
    at_first = hidden[torch.arange(len(hidden), device=hidden.device), first]
    features = at_first.abs().topk(most, dim=-1).indices  # [B, f]
    rms = vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32) * hidden.shape[-1] ** -0.5
    found = hidden.gather(2, features[:, None].expand(-1, hidden.shape[1], -1))  # [B, T, f]
    large = (found.abs() >= least * rms) & real[..., None]
    common = large.sum(1) > real.sum(1, keepdim=True) / 2
    marks = large.gather(1, first[:, None, None].expand(-1, 1, most)) & ~common[:, None]  # [B, 1, f]
    return (large & marks).any(-1)


class RowSummary:
    """Summarises the rows of a batch, layer by layer, as they are read.

    What is summed stays on the device until `values` is asked for, after the pass, so that the host does not wait for the device
    at every layer.

    Args:
        vlm: the model.
        batch: the batch that is read.
        steps: (row, turn) of each step.
        drawn: of each step its own boxes, `N_RANDOM` random sets and sets of other questions; empty without boxes.
        queries: see `activations.attention.QueryPositions`.
        keep: whether the rows themselves are kept, for `rows`.
    """

    def __init__(
        self,
        vlm: VLM,
        batch: Batch,
        steps: list[tuple[int, int]],
        drawn: list[list[Corners]],
        queries: str,
        keep: bool = False,
    ) -> None:
        self.queries = batch.last_mask() if queries == "last" else batch.predict_mask()
        self._keep = keep
        self._raw: list[np.ndarray] = []  # of each layer: the rows of all places, [places, n, T]
        self._vlm, self._steps = vlm, steps
        self._n_foreign = [max(0, len(sets) - 1 - N_RANDOM) for sets in drawn]
        self._boxed = torch.tensor([bool(each) for each in drawn])
        self._tokens = [tokens_of(vlm, batch, row) for row in range(len(batch.starts))]
        self._maps = [
            Maps(planes, same, torch.stack([batch.image_mask[steps[s][0]].nonzero()[:, 0] for s in same]))
            for planes, same in alike(self._tokens, [row for row, _ in steps])
        ]
        asked = [mask.nonzero()[:, 0].tolist() for mask in self.queries]
        rows, places, step_of = (
            [],
            [],
            [],
        )  # of each query of a step: its row, its place among the row's queries, the step
        features = torch.zeros(len(steps), batch.ids.shape[1], N_COLUMNS)
        patches = self._on_boxes(drawn)
        for s, (row, turn) in enumerate(steps):
            start, end = batch.spans[row][turn]
            mine = [i for i, p in enumerate(asked[row]) if start - 1 <= p < end - 1]
            rows += [row] * len(mine)
            places += mine
            step_of += [s] * len(mine)
            image = batch.image_mask[row]
            words = torch.zeros_like(image)
            words[batch.turn_start(row, turn) : start] = True
            features[s, :, IMAGE] = image
            features[s, :, WORDS] = words & ~image
            features[s, batch.starts[row], FIRST] = 1
            features[s, :, ANY] = 1
            if len(patches[s]):
                boxes = slice(BOXES, BOXES + len(patches[s]))
                features[s, image, boxes] = torch.as_tensor(patches[s].T, dtype=torch.float32)
        on_sink = features.clone()
        on_sink[..., BOXES:] = 0
        on_sink[..., ON_SINK] = 1
        device = vlm.device
        self._rows, self._places, self._step_of = (torch.tensor(x, device=device) for x in (rows, places, step_of))
        self._counts = torch.bincount(torch.tensor(step_of), minlength=len(steps)).to(device)[:, None, None]
        self._row_of_step = torch.tensor([row for row, _ in steps], device=device)
        self._features, self._on_sink = features.to(device), on_sink.to(device)
        self._starts, self._real = torch.tensor(batch.starts).to(device), batch.mask.to(device)
        self._image = batch.image_mask.to(device)
        self._reals = [mask.numpy() for mask in batch.mask]
        self._hidden: dict[int, Tensor] = {}
        self._sums: list[tuple[int, tuple[int, ...], Tensor]] = []
        """Of each layer its number, its heads and `[S, n, N_COLUMNS + 2]`: masses, entropy, whether the top key is the target."""
        self._values: dict[str, np.ndarray] | None = None

    def _on_boxes(self, drawn: list[list[Corners]]) -> list[Bool[np.ndarray, "sets n"]]:
        """Of each step and set of boxes, the patches of the picture on one of them."""
        out: list[np.ndarray] = [np.zeros((0, 0), bool) for _ in drawn]
        for row in range(len(self._tokens)):
            mine = [s for s, (of, _) in enumerate(self._steps) if of == row and drawn[s]]
            sets = [boxes for s in mine for boxes in drawn[s]]
            if not sets:
                continue
            each = self._tokens[row].touching(np.array([box for boxes in sets for box in boxes]))
            starts = np.cumsum([0, *(len(boxes) for boxes in sets)])[:-1]
            one_of = np.logical_or.reduceat(each, starts, axis=0)
            for s, some in zip(mine, np.split(one_of, np.cumsum([len(drawn[s]) for s in mine])[:-1]), strict=True):
                out[s] = some
        return out

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block the input of every block is read, from which sinks are found."""

        def hook(layer: int) -> Any:
            def see(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                hidden = args[0] if args else kwargs.get("hidden_states")
                if isinstance(hidden, Tensor) and hidden.shape[:2] == self._real.shape:
                    self._hidden[layer] = hidden

            return see

        with ExitStack() as hooks:
            for site in self._vlm.heads.tower("L"):
                block = self._vlm.model.get_submodule(site.owner.rpartition(".")[0])
                hooks.callback(block.register_forward_pre_hook(hook(site.layer), with_kwargs=True).remove)
            yield

    def _sinks(self, layer: int) -> Tensor | None:
        """The image tokens of each row that are sinks, bool `[B, T]`; None in models that are too narrow for sinks."""
        hidden = self._hidden.pop(layer, None)
        if hidden is None:
            return None
        move = hidden.device
        return sink_tokens(hidden, self._starts.to(move), self._real.to(move)) & self._image.to(move)

    def __call__(self, rows: AttentionRows) -> None:
        """Take the rows of one layer, `[B, H, Q, K]`."""
        layer, weights = rows.site.layer, rows.weights
        move = weights.device  # a model spread over devices has its layers elsewhere
        picked = weights[self._rows.to(move), :, self._places.to(move)]  # [places, n, K]
        if self._keep:
            self._raw.append(picked.float().cpu().numpy())
        n_steps, step_of = len(self._steps), self._step_of.to(move)
        mean = picked.new_zeros(n_steps, *picked.shape[1:]).index_add_(0, step_of, picked) / self._counts.to(move)
        features = self._features.to(move)
        sinks = self._sinks(layer)
        if sinks is not None:
            parked = sinks.to(move)[self._row_of_step.to(move)]  # [S, K]
            features = torch.where(parked[..., None], self._on_sink.to(move), features)
        top = mean.argmax(-1)
        self._sums.append(
            (
                layer,
                rows.heads,
                torch.cat(
                    [
                        mean @ features,
                        torch.special.entr(mean).sum(-1, keepdim=True),
                        features[..., TARGET].gather(1, top)[..., None],
                    ],
                    -1,
                ),
            )
        )
        for maps in self._maps:
            maps.take(layer, rows.heads, mean)

    @property
    def values(self) -> dict[str, Float32[np.ndarray, "S L H"]]:
        """The summaries by name, NaN at heads that were not read; once the pass is over."""
        if self._values is None:
            self._values = self._summed()
        return self._values

    def _summed(self) -> dict[str, np.ndarray]:
        layers, heads = self._vlm.heads.shape
        out = {name: np.full((len(self._steps), layers, heads), np.nan, np.float32) for name in SUMMARIES}
        widths = {sums.shape for _, _, sums in self._sums}
        device = self._sums[0][2].device if self._sums else None
        copied = {
            width: iter(torch.stack([x.to(device) for _, _, x in self._sums if x.shape == width]).cpu().float())
            for width in widths
        }
        blank = torch.where(self._boxed, 0.0, torch.nan)[:, None]
        n_foreign = torch.tensor(self._n_foreign, dtype=torch.float32)[:, None]
        for layer, mine, sums in self._sums:
            made = next(copied[sums.shape])  # [S, n, columns]
            put = {
                "image": made[..., IMAGE],
                "question": made[..., WORDS],
                "first": made[..., FIRST],
                "target": made[..., TARGET] + blank,
                "random": made[..., TARGET + 1 : TARGET + 1 + N_RANDOM].mean(-1) + blank,
                "foreign": made[..., TARGET + 1 + N_RANDOM : N_COLUMNS].sum(-1) / n_foreign,  # NaN where there is none
                "sink": 1 - made[..., ANY],
                "image_sink": made[..., ON_SINK],
                "entropy": made[..., N_COLUMNS],
                "top_in_target": made[..., N_COLUMNS + 1] + blank,
            }
            for name, value in put.items():
                out[name][:, layer, list(mine)] = value.numpy()
        for maps in self._maps:
            for layer, mine, localised in maps.localised():
                out["localisation"][np.ix_(maps.steps, [layer], list(mine))] = localised[:, None]
        self._sums.clear()
        return out

    def rows(self) -> list[Float32[np.ndarray, "n Q K"]]:
        """The rows of each step, of all heads read, over the conversation's real tokens; empty unless `keep` was set."""
        if not self._keep:
            return []
        out, at = [], 0
        for (row, _), n in zip(self._steps, self._counts.flatten().tolist(), strict=True):
            mine = [layer[at : at + n][..., self._reals[row]].transpose(1, 0, 2) for layer in self._raw]
            out.append(np.concatenate(mine))
            at += n
        return out
