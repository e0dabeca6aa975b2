"""CLEVR: rendered rooms with simple solids, scene graphs, and questions with functional programs.

Reads CLEVR v1.0's folders (`questions/*.json`, `scenes/*.json`, `images/`) and folders with one scene a file; a folder without
questions is asked up to four about each scene. Steps are derived from the scene and the program, and the program's answer is
checked against the given one. Tested on real scenes and pictures, and on questions of the published form. Source: Johnson et
al. 2017 (arXiv 1612.06890); scenes in its form: https://github.com/eporte2/clevr-dataset-gen.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.origin import Origin
from headatlas.importing.registry import importer
from headatlas.importing.rooms3d.source import read_folder


@importer(
    "clevr",
    title="CLEVR",
    home="https://cs.stanford.edu/people/jcjohns/clevr/",
    licence="CC-BY-4.0 (CLEVR v1.0)",
    shareable=True,
    steps="derived",
    tested_on="real files",
)
def clevr(origin: Origin) -> Iterator[Draft | LeftOut]:
    """Questions about rooms; the question type is what is done last: count, exist, query, same, equal, less, greater, related."""
    return read_folder(origin)
