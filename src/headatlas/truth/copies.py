"""Worlds in which several heads share a function, made of a planted world by surgery, without training.

A head that carries a function by itself is copied into heads of its layer that no function needs: into two where there is room,
else into one.

* *redundant*: three heads write a third each of what the original wrote, and the model answers as before; two write what the
  original wrote, and either of them is enough.
* *distributed*: together they write what the original wrote, and none of them can be spared (`truth.interlock`).

The truth is again what exact ablation verifies, not this plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scenes.build import build
from headatlas.storage import check_out_folder
from headatlas.truth.interlock import interlock
from headatlas.truth.layout import ROLE_SIZES, Layout, Plant
from headatlas.truth.verify import SPARED
from headatlas.truth.world import World, finish, load_world
from headatlas.vlm import VLM, load_vlm
from headatlas.vlm.surgery import copy_head, key_value_group, scale_output

TRIED, TRIED_SEED = 160, 20_261_128
"""Questions, and the first seed of their scenes, on which the parts of distributed copies are chosen; nothing else uses them."""


@dataclass(frozen=True)
class Copies:
    """How one function's head is copied.

    Attributes:
        function: the head's function.
        source: the head.
        into: the heads that become its copies.
    """

    function: str
    source: Head
    into: tuple[Head, ...]

    @property
    def strength(self) -> float:
        """What each redundant copy and the source write, as a multiple of what the source wrote."""
        return 1.0 if len(self.into) == 1 else 1 / len(self.heads)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The source and its copies, sorted."""
        return tuple(sorted((self.source, *self.into)))


def copy_heads(
    world: str | Path,
    out: Path,
    seed: int = 0,
    n_verify: int = 400,
    say: Callable[[str], None] = lambda line: None,
    role: str = "redundant",
) -> World:
    """Make a world with redundant or distributed heads of a planted one, verify it by exact ablation, and write its folder.

    Args:
        world: a planted world, by name or folder.
        out: folder of the new world; must not exist.
        seed: of two functions that need the same heads for their copies, which gets them, and which heads are taken.
        n_verify: questions (all splits together) that the truth is verified on.
        say: called with a line for each part of the work.
        role: of the functions whose heads are copied, `redundant` or `distributed`.

    Raises:
        HeadAtlasError: another role; `out` exists or cannot be written; no such world; or none of its functions is carried by one
            head with a head beside it that no function needs.
    """
    if out.exists():
        raise HeadAtlasError(f"folder of the world must not exist yet, got {str(out)!r}; name another one")
    if role not in ("redundant", "distributed"):
        raise HeadAtlasError(f"role must be redundant or distributed, got {role!r}")
    check_out_folder(out)
    planted = load_world(world)
    vlm = load_vlm(planted.path, device="cpu")
    copies = plan(planted, vlm, seed)
    if role == "redundant":
        _write_shares(vlm, copies, say)
    else:
        judged, means = build(TRIED, TRIED_SEED, splits=("E",)), build(40, TRIED_SEED + 500, splits=("P",))
        data = CogVSR.from_questions([*judged, *means])
        for one in copies:
            trial = interlock(vlm, one.function, (one.source, *one.into), data, seed)
            say(
                f"{one.function}: {' '.join(map(str, one.heads))}, noise {trial.strength:g}: each alone does "
                f"{trial.share:.0%} of the damage or more"
            )
    kept = {plant.function: plant for plant in planted.layout.plants}
    changed = {one.function: Plant(one.function, role, one.heads) for one in copies}
    plants = [changed.get(one.function, kept[one.function]) for one in planted.usable]
    layout = Layout(tuple(plants), planted.layout.first_layer, seed)
    return finish(vlm, planted.name, layout, out, n_verify, say, copied=role)


def _write_shares(vlm: VLM, copies: list[Copies], say: Callable[[str], None]) -> None:
    for one in copies:
        for target in one.into:
            copy_head(vlm, one.source, target, one.strength)
        scale_output(vlm, [one.source], one.strength)
        say(f"{one.function}: {' '.join(map(str, one.heads))} write {one.strength:.2g} of {one.source} each")


def plan(world: World, vlm: VLM, seed: int = 0) -> list[Copies]:
    """The copies of every usable function that one head carries and that has room for them; see `copy_heads`.

    Raises:
        HeadAtlasError: no head can be copied, or the world's ablations.csv cannot be read.
    """
    rng = np.random.default_rng([seed, 29])
    singles = [one for one in world.usable if one.role == "single"]
    taken = {Head.parse(name) for one in world.usable for name in (*one.heads, *one.also)}
    losses = _largest_losses(world.folder)
    out = []
    for one in (singles[i] for i in rng.permutation(len(singles))):
        source = Head.parse(one.minimal[0][0])
        beside = key_value_group(vlm, source)
        room = [head for head in beside if head not in taken and losses.get(head, np.inf) < SPARED]
        into = tuple(room[i] for i in rng.permutation(len(room))[: max(ROLE_SIZES["redundant"]) - 1])
        if into:
            taken |= set(into)
            out.append(Copies(one.function, source, into))
    if not out:
        raise HeadAtlasError(
            f"no function of {world.name} is carried by one head with another beside it that no function needs"
        )
    return out


def _largest_losses(folder: Path) -> dict[Head, float]:
    """The largest loss of accuracy of any function without each single head, with any fill, from a world's ablations.csv."""
    try:
        table = pd.read_csv(folder / "ablations.csv", keep_default_na=False)
        intact = table[table["heads"] == ""].set_index("function")["accuracy"]
        alone = table[(table["heads"] != "") & ~table["heads"].str.contains(" ")]
        loss = alone["function"].map(intact) - alone["accuracy"]
        return {Head.parse(str(name)): float(worst) for name, worst in loss.groupby(alone["heads"]).max().items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeadAtlasError(
            f"{folder / 'ablations.csv'} cannot be read ({type(error).__name__}: {error}); plant the world again"
        ) from error
