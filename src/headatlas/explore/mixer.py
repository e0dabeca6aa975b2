"""The mixer: changes of the page as edits of the model, and as the Python code that does the same."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.explore.pictures import Pictures
from headatlas.explore.requests import Asked, Change
from headatlas.explore.run_facts import RunFacts
from headatlas.heads import HeadSet
from headatlas.vlm.model import VLM


def edit_of(change: Change, vlm: VLM, run: RunFacts | None) -> Any:
    """The edit that a change makes.

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


@contextmanager
def mixed(vlm: VLM, changes: Sequence[Change], run: RunFacts | None) -> Iterator[None]:
    """Within the block all changes are in force, in the order of the page."""
    edits = [(edit_of(change, vlm, run), change.scope) for change in changes]
    with ExitStack() as stack:
        for edit, scope in edits:
            stack.enter_context(vlm.edit(edit, scope=scope))
        yield


def snippet(vlm: VLM, asked: Asked, changes: Sequence[Change], pictures: Pictures, run: RunFacts | None) -> str:
    """Python code that asks the same question under the same changes and prints the answer."""
    lines = ["import headatlas as ha"]
    picture = asked.picture
    if asked.step is not None:
        lines.append("from headatlas.vlm import conversation, generate")
    if picture.seed is not None:
        lines += [
            "import random",
            "from headatlas.scenes.render import render",
            "from headatlas.scenes.sample import random_scene",
        ]
    if picture.scene is not None:
        lines += ["from headatlas.scenes.render import render", "from headatlas.scenes.world import Scene, Thing"]
    lines += ["", f"vlm = ha.load_vlm({vlm.name!r})"]
    if picture.example is not None:
        lines.append(f"question = ha.cogvsr.load({pictures.name!r})[{picture.example}]")
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
    edits = [f"vlm.edit({_edit_code(change, vlm)}, scope={change.scope!r})" for change in changes]
    if asked.step is None:
        call = f"print(vlm.answer(picture, {asked.question!r}))"
    else:
        call = f"print(generate(vlm, [conversation(question, upto={asked.step})])[0])"
    lines += ["", f"{call}  # before"]
    if edits:
        inside = "".join(f"    {edit},\n" for edit in edits)
        lines.append(f"with (\n{inside}):\n{textwrap.indent(call, '    ')}  # after")
    return "\n".join(lines) + "\n"


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
