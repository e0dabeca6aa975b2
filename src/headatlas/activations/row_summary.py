"""The summaries of an attention row, and how they are computed.

Sinks (VAR, arXiv 2503.03321) are tokens, also of the picture, that get attention whatever is asked. Their hidden states have a
very large feature, the same as the first token's. Attention on such a patch is not counted as attention on the thing there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage
from torch import Tensor

from headatlas.families.image_grid import ImageTokens
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
    size = hidden.abs()
    large = (size >= least * hidden.float().pow(2).mean(-1, keepdim=True).sqrt()) & real[..., None]
    at_first = large[torch.arange(len(large), device=large.device), first]  # [B, d]
    common = large.sum(1) > real.sum(1, keepdim=True) / 2
    return (large & (at_first & ~common)[:, None]).any(-1)


class RowSummary:
    """Summarises the rows of a batch, layer by layer, as they are read.

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
        self._raw: list[list[np.ndarray]] | None = [[] for _ in steps] if keep else None
        layers, heads = vlm.heads.shape
        self.values = {name: np.full((len(steps), layers, heads), np.nan, np.float32) for name in SUMMARIES}
        self._steps = steps
        self._image = batch.image_mask
        self._tokens = [tokens_of(vlm, batch, row) for row in range(len(batch.starts))]
        self._laid_out = _alike(self._tokens, [row for row, _ in steps])
        self._places = []  # of each step: its queries among those of its row
        features = torch.zeros(len(steps), batch.ids.shape[1], 4 + N_RANDOM + N_FOREIGN)
        self._n_foreign = [max(0, len(sets) - 1 - N_RANDOM) for sets in drawn]
        asked = [mask.nonzero()[:, 0].tolist() for mask in self.queries]
        patches = self._on_boxes(drawn)
        for s, (row, turn) in enumerate(steps):
            start, end = batch.spans[row][turn]
            self._places.append([i for i, p in enumerate(asked[row]) if start - 1 <= p < end - 1])
            image = batch.image_mask[row]
            words = torch.zeros_like(image)
            words[batch.turn_start(row, turn) : start] = True
            features[s, :, 0] = image
            features[s, :, 1] = words & ~image
            features[s, batch.starts[row], 2] = 1
            if len(patches[s]):
                features[s, image, 3 : 3 + len(patches[s])] = torch.as_tensor(patches[s].T, dtype=torch.float32)
        self._features = features.to(vlm.device)
        self._hidden: dict[int, Tensor] = {}
        self._starts, self._real = torch.tensor(batch.starts), batch.mask
        self._vlm = vlm
        self._boxed = torch.tensor([bool(each) for each in drawn])

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
        """The image tokens of each row that are sinks, bool `[B, T]`; None if there are none."""
        hidden = self._hidden.pop(layer, None)
        if hidden is None:
            return None
        sinks = sink_tokens(hidden, self._starts.to(hidden.device), self._real.to(hidden.device))
        sinks &= self._image.to(hidden.device)
        return sinks if bool(sinks.any()) else None

    def __call__(self, rows: AttentionRows) -> None:
        """Take the rows of one layer, `[B, H, Q, K]`."""
        layer, weights = rows.site.layer, rows.weights
        if self._raw is not None:
            for s, (row, _) in enumerate(self._steps):
                real = self._real[row].to(weights.device)
                self._raw[s].append(weights[row][:, self._places[s]][..., real].float().cpu().numpy())
        features, parked = self._features.to(weights), None
        sinks = self._sinks(layer)
        if sinks is not None:
            parked = sinks[[row for row, _ in self._steps]].to(weights)  # [S, T]
            features = features.clone()
            features[..., 3:] *= 1 - parked[..., None]
        mean = torch.stack(
            [weights[row][:, self._places[s]].mean(1) for s, (row, _) in enumerate(self._steps)]
        )  # [S, H, K]
        image_maps = (mean @ features).cpu()  # [S, H, f]
        on_sinks = torch.zeros_like(image_maps[..., 0]) if parked is None else (mean @ parked[..., None])[..., 0].cpu()
        share = image_maps[..., 3 + 1 : 3 + 1 + N_RANDOM].mean(-1)
        foreign = image_maps[..., 4 + N_RANDOM :]
        n_foreign = torch.tensor(self._n_foreign, dtype=image_maps.dtype)[:, None]
        blank = torch.where(self._boxed, 0.0, torch.nan)[:, None]
        top = mean.argmax(-1)
        own = features[:, :, 3]
        put = {
            "image": image_maps[..., 0],
            "question": image_maps[..., 1],
            "first": image_maps[..., 2],
            "target": image_maps[..., 3] + blank,
            "random": share + blank,
            "foreign": foreign.sum(-1) / n_foreign,  # NaN where there is none
            "sink": (1 - mean.sum(-1)).cpu(),
            "image_sink": on_sinks,
            "entropy": -(mean * mean.clamp(min=1e-30).log()).sum(-1).cpu(),
            "top_in_target": torch.gather(own, 1, top).cpu() + blank,
            "localisation": self._localised(mean.cpu()),
        }
        for name, value in put.items():
            self.values[name][:, layer, list(rows.heads)] = value.numpy()

    def rows(self) -> list[Float32[np.ndarray, "n Q K"]]:
        """The rows of each step, of all heads read, over the conversation's real tokens; empty unless `keep` was set."""
        return [] if self._raw is None else [np.concatenate(each) for each in self._raw]

    def _localised(self, mean: Tensor) -> Tensor:
        out = np.full(mean.shape[:2], np.nan, np.float32)
        for planes, alike in self._laid_out:
            maps = np.stack([mean[s][:, self._image[self._steps[s][0]]].numpy() for s in alike])  # [steps, H, n]
            out[alike] = spatial_entropy(maps.reshape(-1, maps.shape[-1]), planes).reshape(maps.shape[:2])
        return torch.as_tensor(out)


Plane = tuple[np.ndarray, np.ndarray]
"""Indices of the tokens of one tile, and their (row, column)."""


def _planes(tokens: ImageTokens) -> list[Plane]:
    planes = []
    for image in np.unique(tokens.image):
        for tile in np.unique(tokens.tile[tokens.image == image]):
            index = np.flatnonzero((tokens.image == image) & (tokens.tile == tile) & (tokens.column >= 0))
            planes.append((index, np.stack([tokens.row[index], tokens.column[index]])))
    return planes


def _alike(tokens: Sequence[ImageTokens], rows: Sequence[int]) -> list[tuple[list[Plane], list[int]]]:
    """The steps whose pictures are laid out alike, and the planes of these pictures."""
    planes = [_planes(each) for each in tokens]
    keys = [
        (len(each), *(part.tobytes() for plane in made for part in plane))
        for each, made in zip(tokens, planes, strict=True)
    ]
    groups: dict[tuple[Any, ...], tuple[list[Plane], list[int]]] = {}
    for step, row in enumerate(rows):
        groups.setdefault(keys[row], (planes[row], []))[1].append(step)
    return list(groups.values())


def spatial_entropy(weights: Float[np.ndarray, "M n"], planes: Sequence[Plane]) -> Float[np.ndarray, " M"]:
    """Entropy (nats) of the mass over the connected spots of each of M maps: 0 for one spot, log c for c equal ones.

    A cell belongs to a spot if its weight is above the map's mean; cells that touch, also at a corner, are one spot. NaN where
    the map is empty.
    """
    total = np.zeros(len(weights))  # of the mass on spots
    logs = np.zeros(len(weights))  # sum of mass * log mass over the spots
    mean = weights.mean(1)[:, None, None]
    for index, (row, column) in planes:
        plane = np.zeros((len(weights), row.max() + 1, column.max() + 1))
        plane[:, row, column] = weights[:, index]
        labels, n = ndimage.label(plane > mean, structure=_WITHIN_A_MAP)
        mass = np.bincount(labels.ravel(), plane.ravel(), n + 1)[1:]
        owner = np.zeros(n + 1, int)
        owner[labels] = np.arange(len(weights))[:, None, None]
        np.add.at(total, owner[1:], mass)
        np.add.at(logs, owner[1:], mass * np.log(np.maximum(mass, 1e-300)))
    # H = -sum p log p with p = mass / total
    made = np.log(np.maximum(total, 1e-300)) - logs / np.maximum(total, 1e-300)
    flat = np.where(total > 0, np.maximum(made, 0.0), np.log(weights.shape[1]))
    return np.where(weights.sum(1) > 1e-6, flat, np.nan)


_WITHIN_A_MAP = np.zeros((3, 3, 3), int)
_WITHIN_A_MAP[1] = 1
"""Which neighbours touch in a stack of maps: the eight of the same map."""
