"""CLEVR: rendered rooms with simple solids, scene graphs, and questions with functional programs.

Input: CLEVR v1.0's folders (`questions/*.json`, `scenes/*.json`, `images/`), or a folder with one scene a file. If there are no
questions, up to four are made for each scene. Steps are derived from scene and program, and a question gets them only if the
program's answer equals the given one.

Tested on real scenes and pictures, and on questions of the published form.

Source: Johnson et al. 2017, arXiv 1612.06890; scenes in CLEVR's form: https://github.com/eporte2/clevr-dataset-gen.
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
    """One draft per question. The question type is the last operation: count, exist, query, same, equal, less, greater,
    related."""
    return read_folder(origin)
