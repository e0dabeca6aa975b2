"""Worlds made of real models: planted ones, shipped or in a folder, and null worlds made from any model.

A planted world's folder is an ordinary model folder with `truth.json` (the layout, and the truth that exact ablation verified),
`ablations.csv` (the ablations behind it) and a card, `README.md`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from jinja2 import Environment, StrictUndefined

from headatlas import shipped
from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.reference.build import save
from headatlas.scenes.build import build
from headatlas.scoring.null import permutation
from headatlas.storage import check_out_folder, read_regular
from headatlas.truth.layout import Layout, Role
from headatlas.truth.plant import Planter, PlantRecipe
from headatlas.truth.verify import ALSO, CARRIES, NEAR, SHARE, SPARED, Verified, verify
from headatlas.vlm import VLM, load_vlm

GENERAL = 3
"""A head outside the layout is general if at least so many functions need it."""

VERIFY_SEED = 20_261_126
"""Seed of the scenes on which the truth is verified; no study, grading or training uses it."""


@dataclass(frozen=True)
class World:
    """A planted world.

    Attributes:
        name: of its folder.
        path: the model folder, for `load_vlm`.
        folder: of truth.json, ablations.csv and the card; the same as `path` for a world that is whole.
        base: the model that was planted.
        layout: where functions were planted.
        verified: what exact ablation showed, one for each planted function.
    """

    name: str
    path: Path
    folder: Path
    base: str
    layout: Layout
    verified: tuple[Verified, ...]

    def __repr__(self) -> str:
        lines = [f"World {self.name}: {self.base} with {len(self.verified)} planted functions"]
        lines += [
            f"  {one.function:24s} {one.role:12s} {' or '.join(' '.join(s) for s in one.minimal)}"
            for one in self.verified
        ]
        return "\n".join(lines)

    @property
    def usable(self) -> tuple[Verified, ...]:
        """The functions that their planted heads carry, without carrying another one; only these count as truth."""
        return tuple(one for one in self.verified if one.role != "failed" and one.specific)

    def truth(self, shape: tuple[int, int]) -> Bool[np.ndarray, "F L H"]:
        """The heads of each usable function's smallest sufficient subsets and those in `also`, without general ones."""
        out = np.zeros((len(FUNCTIONS), *shape), dtype=bool)
        for one in self.usable:
            for name in {*(head for subset in one.minimal for head in subset), *one.also}:
                head = Head.parse(name)
                out[FUNCTIONS.index(one.function), head.layer, head.head] = True
        return out & ~self.general(shape)

    def general(self, shape: tuple[int, int]) -> Bool[np.ndarray, "L H"]:
        """Heads outside the layout that `GENERAL` or more functions need: they belong to no function, and grading skips them."""
        out = np.zeros(shape, dtype=bool)
        for name, count in Counter(name for one in self.verified for name in one.also).items():
            if count >= GENERAL:
                head = Head.parse(name)
                out[head.layer, head.head] = True
        return out


def load_world(name: str | Path) -> World:
    """A planted world by name (`shipped.worlds`), or from its folder.

    Raises:
        HeadAtlasError: there is no such world, or its truth.json is damaged.
    """
    folder = shipped.own_folder(str(name)) if str(name) in shipped.worlds() else Path(name)
    try:
        content = json.loads(read_regular(folder / "truth.json").decode("utf-8"))
        verified = tuple(_verified(one) for one in content["verified"])
        layout = Layout.from_json(content["layout"])
        return World(folder.name, shipped.complete(folder), folder, str(content["base"]), layout, verified)
    except FileNotFoundError as error:
        raise HeadAtlasError(
            f"a world must be one of {', '.join(shipped.worlds()) or '(none ships)'} or a folder with truth.json, got "
            f"{str(name)!r}"
        ) from error
    except HeadAtlasError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HeadAtlasError(
            f"{folder / 'truth.json'} is damaged ({type(error).__name__}: {error}); plant it again"
        ) from error


def plant(
    base: str,
    layout: Layout,
    out: Path,
    work: Path,
    recipe: PlantRecipe | None = None,
    n_verify: int = 400,
    say: Callable[[str], None] = lambda line: None,
) -> World:
    """Plant functions in a model's heads, verify the result by exact ablation, and write the world's folder.

    Args:
        base: a reference VLM by name, or a folder of one; the chat must be that of the scenes.
        layout: where to plant what.
        out: folder of the finished world; must not exist.
        work: folder of checkpoints and log; a run that was stopped there continues and gives the same model.
        recipe: settings of the training.
        n_verify: questions (all splits together) that the truth is verified on.
        say: called with a line for each part of the work.

    Raises:
        HeadAtlasError: `out` exists or cannot be written, the layout does not fit the model, or `work` belongs to another plan.
    """
    if out.exists():
        raise HeadAtlasError(f"folder of the world must not exist yet, got {str(out)!r}; name another one")
    check_out_folder(out)
    vlm = load_vlm(base, device="cpu")
    planter = Planter(vlm, layout, recipe or PlantRecipe(seed=layout.seed), work, say)
    planter.run()
    return finish(vlm, base, layout, out, n_verify, say)


def finish(
    vlm: VLM,
    base: str,
    layout: Layout,
    out: Path,
    n_verify: int = 400,
    say: Callable[[str], None] = lambda line: None,
    copied: Role | None = None,
) -> World:
    """Verify a planted model and write the world's folder; see `plant`, or `truth.copies` if heads were `copied` to a role."""
    verified, table = verify(vlm, layout, CogVSR.from_questions(build(n_verify, VERIFY_SEED)), say)
    part = out.with_name(out.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    save(vlm.model, vlm.processor, part)  # type: ignore[arg-type]
    table.to_csv(part / "ablations.csv", index=False, float_format="%.4f")
    content = {"base": base, "layout": layout.to_json(), "verified": [one.to_json() for one in verified]}
    (part / "truth.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (part / "README.md").write_text(card(base, layout, tuple(verified), copied), encoding="utf-8")
    part.rename(out)
    say(f"world written to {out}")
    return load_world(out)


def card(base: str, layout: Layout, verified: tuple[Verified, ...], copied: Role | None = None) -> str:
    """The world's card, Markdown; `copied` as in `finish`."""
    text = (Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False).from_string(text)
    return template.render(
        base=base, layout=layout, verified=verified, copied=copied, titles=TITLES, near=round(100 * NEAR),
        spared=round(100 * SPARED), share=round(100 * SHARE), carries=round(100 * CARRIES), also=round(100 * ALSO),
    )  # fmt: skip


def _verified(kept: dict[str, Any]) -> Verified:
    lists: dict[str, Any] = {"heads": tuple(kept["heads"]), "also": tuple(kept["also"])}
    values: dict[str, Any] = {**kept, **lists, "minimal": tuple(tuple(subset) for subset in kept["minimal"])}
    return Verified(**values)


def exchanged(data: CogVSR, seed: int = 0) -> CogVSR:
    """A null world: the functions of whole questions are exchanged between questions with as many steps.

    Answers stay what they are, so nothing that a head does belongs to a function any more.
    """
    steps = data.steps()
    functions = steps["functions"].to_numpy()[permutation(steps, np.random.default_rng(seed))]
    rows = steps.groupby("question", sort=False).indices

    def changed(question: Question) -> Question:
        new = functions[rows[question.id]]
        own = [
            step.model_copy(update={"functions": tuple(joined.split("|"))})
            for step, joined in zip(question.steps, new, strict=True)
        ]
        return question.model_copy(update={"steps": tuple(own)})

    return CogVSR.from_questions(changed(question) for question in data)
