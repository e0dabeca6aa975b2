"""`Ways`: the ways to ask for one thing, for training and held out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ways:
    """Ways to ask for one thing: those for training, and those that the model must not see in training."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def of(self, which: str) -> tuple[str, ...]:
        """Return the ways to ask that `which` names: `train`, `held_out` or `all`."""
        return {"train": self.train, "held_out": self.held_out, "all": self.train + self.held_out}[which]


def ways(*train: str, held_out: tuple[str, ...]) -> Ways:
    """Return the ways to ask, those for training first."""
    return Ways(train, held_out)
