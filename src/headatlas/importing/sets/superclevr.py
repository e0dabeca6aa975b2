"""Super-CLEVR: rendered vehicles with parts, scene graphs, and questions with or without programs.

Input: the authors' folders (`images/`, `scenes/*.json`, `*questions*.json`). A question without a program is parsed from its
English, which follows fixed templates. A question gets steps only if the answer found on the scene equals the given one; else
it has one step.

Tested on the real files: all 463 questions get steps.

Source: Li et al. 2023, arXiv 2212.00259, https://github.com/Lizw14/Super-CLEVR.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.origin import Origin
from headatlas.importing.registry import importer
from headatlas.importing.rooms3d.source import read_folder


@importer(
    "superclevr",
    title="Super-CLEVR",
    home="https://github.com/Lizw14/Super-CLEVR",
    licence="BSD",
    shareable=True,
    steps="derived",
    tested_on="real files",
)
def superclevr(origin: Origin) -> Iterator[Draft | LeftOut]:
    """Questions about vehicles. The question type is the last operation, as in CLEVR."""
    return read_folder(origin)
