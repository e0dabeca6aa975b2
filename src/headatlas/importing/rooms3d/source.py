"""Read folders of CLEVR's form: scenes, questions and pictures. Steps come from a question's program, or else from its English.

A question gets steps only if the answer found on the scene equals the given one. For a folder without questions, questions are
made up.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from headatlas.cogvsr.schema import AnswerType
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import RELATION, SPATIAL, whole
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, read_json
from headatlas.importing.rooms3d.asking import WHERE, Asking, Near, Things, evaluate, words
from headatlas.importing.rooms3d.english import read_question
from headatlas.importing.rooms3d.graph import Graph, name_of, read_graph
from headatlas.importing.rooms3d.program import read_program
from headatlas.importing.rooms3d.steps import tell
from headatlas.pictures import SUFFIXES, size_of

MADE_UP = 4
"""Number of questions made for each scene of a set that has none."""


def read_folder(origin: Origin) -> Iterator[Draft | LeftOut]:
    """Drafts of every question in the folder, or of questions made up for its scenes if it has none."""
    questions: list[tuple[Path, list[Any]]] = []
    scenes: dict[str, Mapping[str, Any]] = {}
    for path in _tables(origin):
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("questions"), list):
            questions.append((path, content["questions"]))
        elif isinstance(content, dict) and isinstance(content.get("scenes"), list):
            scenes.update((_stem(scene), scene) for scene in content["scenes"] if isinstance(scene, dict))
        elif isinstance(content, dict) and "objects" in content:
            scenes[path.stem] = content
    if not questions and not scenes:
        raise HeadAtlasError(f"{origin.root}: must hold JSON files with questions or scenes of CLEVR's form")
    known = _Scenes(scenes, _widths(origin.root))
    for path, found in questions:
        for i, item in enumerate(found):
            where = f"{path.stem}-{i}"
            try:
                if not isinstance(item, dict):
                    raise Unusable(f"must be an object, got {item!r:.40}")
                yield ask(Record(item, where), known.graph, where)
            except ODD as error:
                yield left_out(where, error)
    if not questions:
        for name in sorted(scenes):
            try:
                yield from make_up(name, known.graph(name), origin.seed)
            except ODD as error:
                yield left_out(name, error)


def _tables(origin: Origin) -> list[Path]:
    """The JSON files of a folder. For a single file with questions: that file and the scenes beside it or in a folder there."""
    if origin.file is None:
        return origin.need("*.json")
    near = [
        *origin.root.glob("*scene*.json"),
        *origin.root.glob("scenes/*.json"),
        *origin.root.parent.glob("scenes/*.json"),
    ]
    return [origin.file, *sorted({path for path in near if path != origin.file})]


class _Scenes:
    """Scene graphs by the stem of their picture's name; each is read once."""

    def __init__(self, scenes: Mapping[str, Mapping[str, Any]], widths: Mapping[str, Path]):
        self._scenes, self._files, self._graphs = scenes, widths, dict[str, Graph]()

    def graph(self, name: str) -> Graph:
        """The graph of a picture; raises `Unusable` if there is no scene of that name."""
        if name not in self._graphs:
            if name not in self._scenes:
                raise Unusable(f"no scene for the picture {name!r}")
            self._graphs[name] = read_graph(self._scenes[name], _width(self._files.get(name)))
        return self._graphs[name]


def _stem(scene: Mapping[str, Any]) -> str:
    return PurePosixPath(str(scene.get("image_filename", ""))).stem


def _widths(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES}


def _width(path: Path | None) -> int | None:
    try:
        if path is not None:
            return size_of(path)[0]
    except HeadAtlasError:
        pass  # a broken picture is reported when it is fetched
    return None


def answer_of(value: Any) -> tuple[str, AnswerType]:
    """An answer from JSON in words, and its type; raises `Unusable` if there is none."""
    if isinstance(value, bool):
        return ("yes" if value else "no"), "yes_no"
    said = str(value).strip() if isinstance(value, (str, int)) else ""
    if said.lower() in ("yes", "no", "true", "false"):
        return ("yes" if said.lower() in ("yes", "true") else "no"), "yes_no"
    if not said:
        raise Unusable(f"field answer: must be text or a number, got {value!r:.40}")
    return name_of(said), "number" if said.isdecimal() else "text"


def ask(record: Record, graph_of: Callable[[str], Graph], key: str, family: str = "") -> Draft:
    """A draft of a question record, with derived steps if scene and answer allow it."""
    answer, answer_type = answer_of(record.get("answer"))
    text, image = record.text("question"), record.get("image")
    picture = image if isinstance(image, Picture) else Picture(record.text("image_filename"))
    name = PurePosixPath(record.text("image_filename", default=picture.name)).stem
    objects, steps = (), ()
    try:
        graph = graph_of(name)
        objects = graph.objects()
        program = record.get("program")
        asking = read_program(program) if program else read_question(text)
        said = name_of(evaluate(asking, graph))
        if said == answer:
            steps = tell(asking, graph, answer, answer_type, ())
        family = family or asking.what
    except Unusable:
        pass
    return Draft(
        key=key,
        text=text,
        answer=answer,
        answer_type=answer_type,
        steps=steps or whole(answer, answer_type, RELATION, SPATIAL),
        pictures=(picture,),
        family=family or "other",
        objects=objects,
    )


def make_up(name: str, graph: Graph, seed: int) -> Iterator[Draft]:
    """Questions about a scene of a set that has none: on the relation of two things, and on what lies in a direction.

    Only things with a unique description are named. Raises `Unusable` if the scene has fewer than two of them.
    """
    rng = random.Random(f"clevr/{seed}/{name}")
    named = {i: one for i in range(len(graph.things)) if (one := _description(graph, i))}
    if len(named) < 2:
        raise Unusable(f"fewer than two of its {len(graph.things)} things can be told apart in words")
    pairs = list(itertools.permutations(named, 2))
    rng.shuffle(pairs)
    made = 0
    for kind, (i, j) in ((kind, pair) for pair in pairs for kind in ("related", "query", "count", "same")):
        direction = rng.choice([d for d in WHERE if d in graph.lies])
        asking, text = _made(kind, direction, named[i], named[j], graph)
        try:
            answer, answer_type = answer_of(evaluate(asking, graph))
            steps = tell(asking, graph, answer, answer_type, ())
        except Unusable:
            continue
        if steps:
            picture = Picture(f"{name}.png")
            yield Draft(f"{name}-{made}", text, answer, answer_type, steps, (picture,), (), kind, "", graph.objects())
            made += 1
        if made == MADE_UP:
            return


def _description(graph: Graph, i: int) -> Things | None:
    """The shortest description that only thing `i` meets."""
    thing = graph.things[i]
    for chosen in (("shape",), ("color", "shape"), ("size", "color", "shape"), ("size", "color", "material", "shape")):
        filters = tuple((name, thing.get(name)) for name in chosen)
        if sum(all(other.get(name) == value for name, value in filters) for other in graph.things) == 1:
            return Things(filters)
    return None


def _made(kind: str, direction: str, a: Things, b: Things, graph: Graph) -> tuple[Asking, str]:
    near = Things(near=(Near("relate", direction, b),))
    if kind == "count":
        return Asking("count", "", (near,)), f"How many things are {WHERE[direction]} the {words(b)}?"
    if kind == "query":
        return Asking("query", "color", (near,)), f"What color is the thing {WHERE[direction]} the {words(b)}?"
    if kind == "same":
        return Asking("same", "size", (a, b)), f"Are the {words(a)} and the {words(b)} of the same size?"
    return Asking("related", direction, (a, b)), f"Is the {words(a)} {WHERE[direction]} the {words(b)}?"
