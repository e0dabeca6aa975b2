"""Spatial457: Super-CLEVR rooms with 3D poses, with questions on five levels, from single things (L1) to pose and collision (L5).

Input: the hub's folders (`questions/L1_single.json` ... `L5_collision.json`, `images/superCLEVR_new_*.png`) or its Parquet
(`image`, `image_filename`, `question`, `answer`, `program`). If the folder has scenes of Super-CLEVR's form (`scenes/`),
steps are derived for programs of CLEVR's operations and checked against the answer. Questions about pose, occlusion and
collision, and questions without a scene, have one step.

Written after the documented form, the authors' README and a public loader (answers are words, whole numbers as text, "True" and
"False"; all scenes are in `spatial457_scenes_21k.json`); tested without real question files.

Source: Wang et al. 2025, arXiv 2502.08636; Hugging Face dataset `RyanWW/Spatial457`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headatlas.importing.draft import Draft, LeftOut, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each, read_json
from headatlas.importing.registry import importer
from headatlas.importing.rooms3d.graph import Graph, read_graph
from headatlas.importing.rooms3d.source import ask


@importer(
    "spatial457",
    title="Spatial457",
    home="https://huggingface.co/datasets/RyanWW/Spatial457",
    licence="Apache-2.0",
    shareable=True,
    steps="derived",
    files=("*.json", "*.parquet", "*.png"),
)
def spatial457(origin: Origin) -> Iterator[Draft | LeftOut]:
    """Questions of all levels. The question type is the name of the file or folder, such as `L3_2D_spatial`."""
    graphs = _graphs(origin)

    def graph_of(name: str) -> Graph:
        if name not in graphs:
            raise Unusable(f"no scene for {name!r}")
        return read_graph(graphs[name])

    for path in origin.need(
        "L[1-5]_*.json", "*L[1-5]_*/*.parquet", "L[1-5]_*.parquet", "*.parquet", "*questions*.json"
    ):
        level = next(
            (part for part in (path.stem, path.parent.name) if part[:1] == "L" and part[1:2].isdigit()), "other"
        )

        def convert(record: Record, level: str = level) -> Draft:
            fields = {**record, "program": _rows(record.get("program"))}
            return ask(Record(fields, record.where), graph_of, f"{level}-{record.text('question_index')}", family=level)

        yield from each(Origin(path.parent, path, origin.seed), convert, key="questions")


def _graphs(origin: Origin) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for path in Origin(origin.root).files("scenes/*.json", "*scenes*.json"):
        content = read_json(path)
        scenes = content.get("scenes", [content]) if isinstance(content, dict) else []
        for scene in scenes if isinstance(scenes, list) else []:
            if isinstance(scene, dict) and "image_filename" in scene:
                found[str(scene["image_filename"]).rsplit(".", 1)[0]] = scene
    return found


def _rows(program: Any) -> Any:
    """A program as rows; Parquet has it as one object of columns."""
    if isinstance(program, dict):
        names = [name for name, column in program.items() if isinstance(column, list)]
        return [dict(zip(names, row, strict=True)) for row in zip(*(program[n] for n in names), strict=True)]
    return program
