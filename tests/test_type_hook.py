"""The check of annotations that all other tests run under does check."""

import sys

import numpy as np
import pytest
import type_hook

MODULE = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float


def add(a: Float[np.ndarray, "L H"], b: Float[np.ndarray, "L H"]) -> Float[np.ndarray, "L H"]:
    return a + b[: len(a)]


def side(of: Literal["left", "right"]) -> str:
    return of if of == "left" else 1


@dataclass
class Pair:
    a: Float[np.ndarray, " N"]
    b: Float[np.ndarray, " N"]

    def longer(self, n: int) -> Pair:
        return self


@dataclass
class Named:
    name: str
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checked")
    (folder / "checked_module.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    before = list(sys.meta_path)
    type_hook.install("checked_module")
    import checked_module

    sys.meta_path[:] = before
    sys.path.remove(str(folder))
    return checked_module


def test_what_fits_passes(checked):
    assert checked.add(np.ones((2, 3)), np.ones((2, 3))).shape == (2, 3)
    assert checked.side("left") == "left"
    assert checked.Pair(np.ones(2), np.ones(2)).longer(1).a.shape == (2,)
    assert checked.Named("x").name == "x"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.add(np.ones((2, 3)), np.ones((4, 3))),  # an axis of two lengths
        lambda m: m.add(np.ones(3), np.ones(3)),
        lambda m: m.add(np.ones((2, 3), int), np.ones((2, 3), int)),
        lambda m: m.side("up"),
        lambda m: m.side("right"),  # returns an int
        lambda m: m.Pair(np.ones(2), np.ones(3)),
        lambda m: m.Pair(np.ones(2), np.ones(2)).longer("1"),
        lambda m: m.Named(1),
    ],
)
def test_what_does_not_fit_is_an_error(checked, wrong):
    with pytest.raises(TypeError, match=r"(?i)type"):
        wrong(checked)


def test_headatlas_is_checked():
    from headatlas.stats import mcnemar

    assert mcnemar.__annotations__ == {"before": "Values", "after": "Values", "return": "float"}
    with pytest.raises(TypeError, match="violates"):
        mcnemar(1, 2)
