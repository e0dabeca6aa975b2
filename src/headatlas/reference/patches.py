"""What stage 1 of the training learns of every patch: its labels, and their loss."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from headatlas.scenes.world import CLASSES, COLORS, DIRECTIONS, PLACES, SIZES, TEXTURES, Scene

PATCH_FIELDS = {
    "thing": (None, *CLASSES), "color": COLORS, "texture": TEXTURES, "size": SIZES, "depth": (0, 1, 2),
    "facing": (None, *DIRECTIONS), "row": tuple(range(1, 7)), "column": tuple(range(1, 7)), "place": PLACES,
    "frame": (None, False, True),
}  # fmt: skip
"""What stage 1 classifies for each patch, and the values; fields of things have no label (255) where there is no thing."""


def patch_labels(scene: Scene) -> UInt8[np.ndarray, "36 fields"]:
    """Return the label of every field for each of the 36 cells, row by row."""
    labels = np.full((36, len(PATCH_FIELDS)), 255, np.uint8)
    at = {(t.row, t.column): t for t in scene.things}
    for cell in range(36):
        row, column = cell // 6 + 1, cell % 6 + 1
        frame = scene.region.holds(row, column) if scene.region else None
        values: dict[str, object] = {"thing": None, "row": row, "column": column, "place": scene.place, "frame": frame}
        if thing := at.get((row, column)):
            values |= asdict(thing) | {"thing": thing.cls}
        for i, (field, known) in enumerate(PATCH_FIELDS.items()):
            if field in values:
                labels[cell, i] = known.index(values[field])  # type: ignore[arg-type]
    return labels


class PatchHeads(nn.Module):
    """The classifiers of stage 1, one linear layer per field over the projected patches; discarded afterwards."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({field: nn.Linear(width, len(values)) for field, values in PATCH_FIELDS.items()})

    def forward(
        self, features: Float[Tensor, "B P E"], labels: UInt8[Tensor, "B P fields"]
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the loss, the mean over fields, and each field's accuracy on patches that hold a thing (else all)."""
        features = self.norm(features.float())
        total = features.new_zeros(())
        accuracy = {}
        for i, (field, head) in enumerate(self.heads.items()):
            wanted = labels[..., i].long()
            known = wanted != 255
            logits = head(features[known])
            each = F.cross_entropy(logits, wanted[known], reduction="none")
            if field == "thing":
                # Five of six patches are empty, so the others get more weight.
                weight = torch.where(wanted[known] > 0, 1.0, 0.15)
                total = total + (each * weight).sum() / weight.sum()
            else:
                total = total + each.mean()
            accuracy[field] = float((logits.argmax(-1) == wanted[known]).float().mean())
        return total / len(self.heads), accuracy
