"""The plan of a planted world: in which heads each function is planted, and in which role.

Training does not always follow the plan. The truth of the world is what exact ablation shows afterwards (`verify.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from headatlas.cogvsr.functions import FUNCTIONS, check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.storage import read_regular

Role = Literal["single", "redundant", "distributed"]
ROLE_SIZES: dict[Role, tuple[int, ...]] = {"single": (1,), "redundant": (2, 3), "distributed": (3, 2)}
"""How many heads each role may have. `single`: one head does it. `redundant`: some of them are enough. `distributed`: all are
needed. A drawn layout has the first number."""


@dataclass(frozen=True)
class Plant:
    """One function's planted heads and their role."""

    function: str
    role: Role
    heads: tuple[Head, ...]


@dataclass(frozen=True)
class Layout:
    """The plants of one model; no head is used twice.

    Attributes:
        plants: one for each planted function.
        first_layer: heads below this layer are neither planted nor silenced.
        seed: what `drawn` was given; 0 for a layout written by hand.
    """

    plants: tuple[Plant, ...]
    first_layer: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        used = [head for plant in self.plants for head in plant.heads]
        twice = sorted({str(head) for head in used if used.count(head) > 1})
        if twice:
            raise HeadAtlasError(f"heads of a layout must be used once, got {', '.join(twice)} more than once")
        functions = [plant.function for plant in self.plants]
        if len(set(functions)) != len(functions) or not functions:
            raise HeadAtlasError("a layout must plant one or more functions, each once")
        for plant in self.plants:
            check_function(plant.function)
            if len(plant.heads) not in ROLE_SIZES[plant.role]:
                sizes = " or ".join(map(str, ROLE_SIZES[plant.role]))
                raise HeadAtlasError(
                    f"{plant.function}: role {plant.role!r} needs {sizes} heads, got {len(plant.heads)}"
                )
            if any(head.layer < self.first_layer for head in plant.heads):
                raise HeadAtlasError(f"{plant.function}: heads must be in layer {self.first_layer} or above")

    @classmethod
    def drawn(cls, seed: int, shape: tuple[int, int], functions: Sequence[str] = FUNCTIONS) -> Layout:
        """A layout in the upper half of the layers: a quarter of the functions redundant, one distributed, the rest single.

        Args:
            seed: the same seed draws the same layout for models of the same shape.
            shape: (layers, heads) of the language model.
            functions: the functions to plant.

        Raises:
            HeadAtlasError: the upper half has too few heads.
        """
        layers, heads = shape
        first = layers // 2
        rng = np.random.default_rng([seed, layers, heads])
        roles: list[Role] = ["redundant" for _ in range(max(1, len(functions) // 4))]
        roles.append("distributed")
        roles.extend("single" for _ in range(len(functions) - len(roles)))
        roles = roles[: len(functions)]
        roles = [roles[i] for i in rng.permutation(len(functions))]
        free = [Head(layer, head) for layer in range(first, layers) for head in range(heads)]
        needed = sum(ROLE_SIZES[role][0] for role in roles)
        if needed > len(free) // 2:
            raise HeadAtlasError(
                f"a layout of {needed} heads needs {2 * needed} heads in the upper layers, got {len(free)}"
            )
        order = iter(rng.permutation(len(free)))
        plants = [
            Plant(function, role, tuple(sorted(free[next(order)] for _ in range(ROLE_SIZES[role][0]))))
            for function, role in zip(functions, roles, strict=True)
        ]
        return cls(tuple(plants), first, seed)

    def plant(self, function: str) -> Plant | None:
        """The plant of a function, None if it is not planted."""
        return next((plant for plant in self.plants if plant.function == function), None)

    @property
    def heads(self) -> frozenset[Head]:
        """All planted heads."""
        return frozenset(head for plant in self.plants for head in plant.heads)

    def to_json(self) -> dict[str, Any]:
        """As written by `save`."""
        plants = [
            {"function": p.function, "role": p.role, "heads": [str(head) for head in p.heads]} for p in self.plants
        ]
        return {"seed": self.seed, "first_layer": self.first_layer, "plants": plants}

    def save(self, path: str | Path) -> None:
        """Write the layout as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, kept: Any) -> Layout:
        """The layout from the value of `to_json`. Raises KeyError, TypeError or ValueError for another value, or as the class
        does."""
        plants = tuple(_read_plant(plant) for plant in kept["plants"])
        return cls(plants, int(kept.get("first_layer", 0)), int(kept.get("seed", 0)))

    @classmethod
    def load(cls, path: str | Path) -> Layout:
        """Read a layout from a JSON file. Raises `HeadAtlasError` if it is none."""
        try:
            return cls.from_json(json.loads(read_regular(Path(path)).decode("utf-8")))
        except HeadAtlasError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HeadAtlasError(
                f'{path}: a layout must be JSON like {{"plants": [{{"function": "recall", "role": "single", "heads": '
                f'["L4.H2"]}}]}}, got {type(error).__name__}: {error}'
            ) from error


def _read_plant(kept: dict[str, Any]) -> Plant:
    if kept["role"] not in get_args(Role):
        raise HeadAtlasError(f"role must be one of {', '.join(get_args(Role))}, got {kept['role']!r}")
    return Plant(str(kept["function"]), kept["role"], tuple(Head.parse(str(head)) for head in kept["heads"]))
