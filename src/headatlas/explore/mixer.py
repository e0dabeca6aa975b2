"""The mixer: changes of the page as edits of the model, and as the Python code that does the same."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.explore.pictures import Pictures
from headatlas.explore.recipes import Recipes
from headatlas.explore.requests import Asked, Change
from headatlas.explore.run_facts import RunFacts
from headatlas.heads import HeadSet
from headatlas.vlm.model import VLM


def edit_of(change: Change, vlm: VLM, run: RunFacts | None) -> Any:
    """The edit that a change makes, unless it is a recipe.

    Raises:
        HeadAtlasError: heads that the model does not have, or a direction to steer along that is not known.
    """
    heads = known(vlm, change.heads)
    if change.kind == "silence":
        return ha.zero(heads)
    if change.kind == "scale":
        return ha.scale(heads, change.factor)
    if change.kind == "gaze":
        assert change.box is not None
        return ha.attend(heads, tuple(map(float, change.box)), change.beta, others=-change.beta)
    if change.kind == "knockout":
        return ha.block(heads, "image")
    if run is None:
        raise HeadAtlasError("steering needs directions from a study: start the page with --run RUN")
    return run.directions(change.function).edit(heads, change.alpha)


def known(vlm: VLM, heads: Sequence[str]) -> HeadSet:
    """The heads, each of which the model must have."""
    chosen = HeadSet(heads)
    for head in chosen:
        vlm.heads.site(head)
    return chosen


def in_force(changes: Sequence[Change], recipes: Recipes) -> list[Change]:
    """The changes in the order in which they are made: that of the page, but a recipe with updates of weights is first.

    Raises:
        HeadAtlasError: such a recipe and another one, which would find other weights than those it was made for.
    """
    updates = [one for one in changes if one.recipe is not None and recipes.get(one.recipe).low_rank]
    if updates and sum(one.recipe is not None for one in changes) > 1:
        raise HeadAtlasError("a recipe that changes weights must be the only recipe: remove the other one")
    return [*updates, *(one for one in changes if one not in updates)]


@contextmanager
def mixed(vlm: VLM, changes: Sequence[Change], run: RunFacts | None, recipes: Recipes) -> Iterator[None]:
    """Within the block all changes are active.

    Raises:
        HeadAtlasError: heads that the model does not have, a direction that is not known, a recipe that is no longer there.
    """
    active: list[AbstractContextManager[Any]] = [
        vlm.edit(edit_of(change, vlm, run), scope=change.scope)
        if change.recipe is None
        else recipes.get(change.recipe).applied(vlm)
        for change in in_force(changes, recipes)
    ]
    with ExitStack() as stack:
        for one in active:
            stack.enter_context(one)
        yield


def snippet(
    vlm: VLM, asked: Asked, changes: Sequence[Change], pictures: Pictures, run: RunFacts | None, recipes: Recipes
) -> str:
    """Python code that asks the same question under the same changes and prints the answer."""
    lines = ["import headatlas as ha"]
    picture = asked.picture
    needed = ["HeadRecipe"] if any(change.recipe is not None for change in changes) else []
    if asked.step is not None:
        needed += ["conversation", "generate"]
    if needed:
        lines.append(f"from headatlas.vlm import {', '.join(needed)}")
    if picture.seed is not None:
        lines += [
            "import random",
            "from headatlas.scenes.render import render",
            "from headatlas.scenes.sample import random_scene",
        ]
    if picture.scene is not None:
        lines += ["from headatlas.scenes.render import render", "from headatlas.scenes.world import Scene, Thing"]
    as_here = "".join(f", {name}={value!r}" for name, value in vlm.loaded_with.items())
    lines += ["", f"vlm = ha.load_vlm({vlm.name!r}{as_here})"]
    if picture.example is not None:
        lines.append(f"question = {pictures.load_code}[{picture.example}]")
        if asked.step is None:
            lines.append("picture = question.images[0]" if pictures.question(picture).images else "picture = None")
    elif picture.seed is not None:
        lines.append(f"picture = render(random_scene(random.Random({f'explore/{picture.seed}'!r})))")
    elif picture.scene is not None:
        from headatlas.explore.pictures import drawn

        scene = drawn(picture.scene)
        things = "".join(f"\n    {thing!r}," for thing in scene.things)
        lines.append(f"picture = render(Scene(({things}\n), {scene.place!r}))")
    else:
        lines.append(f"picture = {pictures.upload_name(picture)!r}  # the path of your picture")
    if any(change.kind == "steer" for change in changes):
        assert run is not None
        lines += run.snippet(sorted({change.function for change in changes if change.kind == "steer"}))
    edits = [_change_code(change, vlm, recipes) for change in in_force(changes, recipes)]
    if asked.step is None:
        call = f"print(vlm.answer(picture, {asked.question!r}))"
    else:
        call = f"print(generate(vlm, [conversation(question, upto={asked.step})])[0])"
    lines += ["", f"{call}  # before"]
    if edits:
        inside = "".join(f"    {edit}\n" for edit in edits)
        lines.append(f"with (\n{inside}):\n{textwrap.indent(call, '    ')}  # after")
    return "\n".join(lines) + "\n"


def _change_code(change: Change, vlm: VLM, recipes: Recipes) -> str:
    """A line of the `with` statement."""
    if change.recipe is None:
        return f"vlm.edit({_edit_code(change, vlm)}, scope={change.scope!r}),"
    name, is_path = recipes.path(change.recipe)
    return f"HeadRecipe.load({name!r}).applied(vlm),{'' if is_path else '  # the path of your recipe'}"


def _edit_code(change: Change, vlm: VLM) -> str:
    everything = vlm.heads.heads("L")
    heads = 'vlm.heads.heads("L")' if HeadSet(change.heads) == everything else repr(" ".join(change.heads))
    if change.kind == "silence":
        return f"ha.zero({heads})"
    if change.kind == "scale":
        return f"ha.scale({heads}, {change.factor!r})"
    if change.kind == "gaze":
        assert change.box is not None
        box = ", ".join(repr(float(value)) for value in change.box)
        return f"ha.attend({_set(heads)}, ({box}), {change.beta!r}, others={-change.beta!r})"
    if change.kind == "knockout":
        return f'ha.block({_set(heads)}, "image")'
    return f"directions[{change.function!r}].edit({_set(heads)}, {change.alpha!r})"


def _set(heads: str) -> str:
    """Code of a set of heads."""
    return heads if heads.startswith("vlm") else f"ha.HeadSet({heads})"
