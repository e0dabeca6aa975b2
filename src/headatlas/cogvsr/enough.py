"""How many pictures each split gets and needs: to run a study at all, and to answer its questions.

The picture (scene) is what is resampled and exchanged, so pictures are counted, not questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from headatlas.cogvsr.schema import Split
from headatlas.errors import HeadAtlasError

LEAST: dict[str, int] = {"P": 2, "S": 2, "T": 1, "E": 2}
"""Pictures without which a study cannot be computed: cross-validation and intervals need two."""

# S: a head is distinguished from chance by flipping the signs of pictures; with 15, 2^-15 < 0.05 / 784 heads. E: 10 points of 60
# pictures are six changed answers; if all change in one direction, p = 0.03.
ENOUGH: dict[Split, tuple[int, str]] = {
    "P": (20, "to estimate the means that ablation puts in a head's place, and to fit probes"),
    "S": (15, "to tell a head from chance"),
    "T": (10, "to tune strengths"),
    "E": (
        60,
        "to tell a fall of 10 points from none",
    ),
}
"""Pictures for verdicts that can come out either way, and what for."""

SHARES: dict[Split, float] = {"P": 0.20, "S": 0.30, "T": 0.10, "E": 0.40}
"""The share of the questions that each split of a study gets."""


def shares_of(splits: Sequence[str]) -> dict[Split, float]:
    """The shares of some splits, not scaled to a sum of 1. Raises `HeadAtlasError` for a name that is none, or no name."""
    unknown = [split for split in splits if split not in SHARES]
    if unknown or not splits:
        got = repr(unknown[0]) if unknown else "none"
        raise HeadAtlasError(f"splits must be one or more of {', '.join(SHARES)}, got {got}")
    return {split: share for split, share in SHARES.items() if split in splits}


def scenes_per_split(steps: pd.DataFrame) -> dict[str, int]:
    """Pictures in each of the splits P, S, T and E; `steps` is `CogVSR.steps()`. A question without a scene counts as one."""
    scene = steps["scene"].where(steps["scene"] != "", steps["question"])
    counts = scene.groupby(steps["split"]).nunique()
    return {split: int(counts.get(split, 0)) for split in LEAST}


def cannot_run(scenes: Mapping[str, int]) -> str:
    """Why a study of so many pictures cannot be run, in one line; empty if it can."""
    short = [
        f"{split} has {scenes[split]} and needs {least}" for split, least in LEAST.items() if scenes[split] < least
    ]
    if not short:
        return ""
    return (
        f"a study needs pictures in every split: {'; '.join(short)}. Splits that are dealt need 8 different pictures in all to "
        f"run, and about {_total()} for verdicts"
    )


def too_few(scenes: Mapping[str, int]) -> list[str]:
    """Warnings about splits with too few pictures, one sentence per split; empty if there are enough."""
    return [
        f"Split {split} has {scenes[split]} picture{'' if scenes[split] == 1 else 's'}; {needed} are needed {why}."
        for split, (needed, why) in ENOUGH.items()
        if scenes[split] < needed
    ]


def _total() -> int:
    """Pictures in all that give each split what it needs, if they are dealt by the usual shares."""
    return max(round(needed / SHARES[split]) for split, (needed, _) in ENOUGH.items())


ENOUGH_IN_ALL = _total()
"""Pictures in all for verdicts: 150."""
