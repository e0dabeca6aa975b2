"""`CogVSR`, a dataset of questions made in memory or loaded, and `load`, which opens one.

For a dataset in files, only ids and splits stay in memory; rows are read a row group at a time, and images are decoded one
question at a time.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.cogvsr import files, mini, rows
from headatlas.cogvsr.schema import Question, Step
from headatlas.cogvsr.sources import ROW_READERS, SOURCES
from headatlas.cogvsr.table import Table
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.registry import near, near_folder
from headatlas.storage import recover

STEP_COLUMNS = (
    "question", "step", "n_steps", "split", "family", "scene", "source", "kind", "function", "functions", "answer_type",
    "gold", "text_of_step", "needs_image",
)  # fmt: skip


class CogVSR:
    """Questions in a fixed order: `len(data)`, `data[i] -> Question`, iteration. Images are decoded on access."""

    def __init__(self, table: Table, name: str = "CogVSR"):
        self._table = table
        self.name = name
        self._ids: list[str] = [str(name) for name in table.column("id")]
        twice = len(self._ids) - len(set(self._ids))
        if twice:
            seen: set[str] = set()
            first = next(i for i in self._ids if i in seen or seen.add(i))
            raise HeadAtlasError(f"{name}: every question id must be unique, got {first[:80]!r} again ({twice} in all)")

    @classmethod
    def from_questions(cls, questions: Iterable[Question], path: str | Path | None = None) -> CogVSR:
        """Store questions as Parquet in the folder `path` and open them; without a path they go to a temporary folder.

        The iterable is consumed once, `16` questions at a time, so that it may be longer than memory.
        """
        if path is not None:
            files.write((rows.to_row(q) for q in questions), Path(path))
            return cls(files.open_path(Path(path)), Path(path).name)
        with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
            # Read into memory, because the folder is removed: encoded images, about 0.1 MB per question.
            files.write((rows.to_row(q) for q in questions), Path(folder) / "data")
            table = files.in_memory(files.parquet_files(Path(folder) / "data"))
        return cls(files.checked(table, "CogVSR"))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Question:
        one = self._table.select([range(len(self))[index]])
        return next(rows.iter_questions(files.records(one)))

    def __iter__(self) -> Iterator[Question]:
        return rows.iter_questions(files.records(self._table))

    def __repr__(self) -> str:
        return f"CogVSR({self.name!r}, {len(self)} questions, splits {self.splits})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Question ids, in order."""
        return tuple(self._ids)

    @cached_property
    def splits(self) -> dict[str, int]:
        """Questions in each split, in order of appearance."""
        return dict(Counter(self._split_of))

    @cached_property
    def _split_of(self) -> list[str]:
        default = rows.DEFAULTS["split"]
        if "split" not in self._table.column_names:
            return [default] * len(self)
        return [name or default for name in self._table.column("split")]

    def without_images(self) -> Iterator[Question]:
        """The questions with `images=()`: fast, for everything that only reads."""
        return rows.iter_questions(files.records(self._table, images=False), images=False)

    def split(self, name: str) -> CogVSR:
        """The questions of one split. Raises `HeadAtlasError` if there are none."""
        chosen = [i for i, split in enumerate(self._split_of) if split == name]
        if not chosen:
            there = ", ".join(f"{split} ({count})" for split, count in self.splits.items())
            raise HeadAtlasError(f"split must be one of this dataset's, {there}; got {name!r}")
        return CogVSR(self._table.select(chosen), f"{self.name}[{name}]")

    def select(self, ids: Iterable[str]) -> CogVSR:
        """The questions with these ids, in the order given."""
        place = {question: i for i, question in enumerate(self._ids)}
        wanted = list(ids)
        missing = [question for question in wanted if question not in place]
        if missing:
            raise HeadAtlasError(f"no question {missing[0]!r} in {self.name} ({len(missing)} of {len(wanted)} missing)")
        return CogVSR(self._table.select([place[question] for question in wanted]), self.name)

    def save(self, path: str | Path) -> Path:
        """Write Parquet files (images embedded, losslessly) into the folder `path`, replacing an earlier save there."""
        files.write(self.rows(), Path(path))
        return Path(path)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The questions as plain values in order, each image as `{"bytes": encoded, "path": None}`: for writers."""
        return (files.embedded(row) for row in files.records(self._table))

    def with_steps(self, steps: Mapping[str, Sequence[Step]], path: str | Path) -> CogVSR:
        """The questions that `steps` names by id, in this dataset's order, with these steps in place of their own.

        Written to the folder `path` as by `save`, images byte for byte as they are. A chain that does not end in its
        question's answer raises `HeadAtlasError`.
        """
        wanted = [i for i, question in enumerate(self._ids) if question in steps]
        changed = (
            {**row, "steps": [step.model_dump() for step in steps[str(row["id"])]]}
            for row in files.records(self._table.select(wanted))
        )
        checked = ((row, rows.to_question(row, "", images=False)) for row in changed)
        files.write((files.embedded(row) for row, _ in checked), Path(path))
        return CogVSR(files.open_path(Path(path)), Path(path).name)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the content: every field and every encoded image, in order. Saving and loading keep it."""
        digest = hashlib.blake2b(digest_size=8)
        for row, question in zip(files.records(self._table), self.without_images(), strict=True):
            digest.update(question.model_dump_json(exclude={"images"}).encode())
            for cell in files.embedded(row)["images"]:
                digest.update(hashlib.blake2b(cell["bytes"], digest_size=16).digest())
        return digest.hexdigest()

    def steps(self) -> pd.DataFrame:
        """One row per step, in order of questions and steps, without images; columns are `STEP_COLUMNS`.

        `function` is the primary one, `functions` all of them joined by "|", `gold` the answer, `step` counts from 0.
        """
        records = [
            (q.id, i, len(q.steps), q.split, q.family, q.scene, q.source, s.kind, s.function, "|".join(s.functions),
             s.answer_type, s.answer, s.text, s.needs_image)
            for q in self.without_images()
            for i, s in enumerate(q.steps)
        ]  # fmt: skip
        return pd.DataFrame.from_records(records, columns=list(STEP_COLUMNS))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False


def load(
    source: str | Path = "scenes", n: int = 400, seed: int = 0, splits: Sequence[str] = ("P", "S", "T", "E")
) -> CogVSR:
    """Open a dataset: a source by name (`"scenes"`), the shipped `"cogvsr-mini"`, a folder or file (Parquet, JSON lines), or a
    Hugging Face id.

    `n`, `seed` and `splits` say what a named source makes; a stored dataset is loaded whole, whatever they are. Rows
    are checked against the schema here, images when they are decoded.
    """
    if str(source) in SOURCES:
        if n < 1:
            raise HeadAtlasError(f"n must be >= 1, got {n}")
        made = SOURCES[str(source)](n, seed, tuple(splits))
        return made if isinstance(made, CogVSR) else CogVSR.from_questions(_questions(made, str(source)))
    if str(source) == mini.NAME:
        return CogVSR(files.open_path(mini.FOLDER), mini.NAME)
    path = Path(source)
    recover(path)
    check_source(source)
    if _exists(path):
        return CogVSR(files.open_path(path), path.name)
    return CogVSR(files.open_hub(str(source)), str(source))


def from_rows(
    rows: Iterable[Any],
    out: str | Path | None = None,
    *,
    seed: int = 0,
    splits: Sequence[str] = ("P", "S", "T", "E"),
    progress: Progress | None = None,
) -> CogVSR:
    """A dataset of your own questions: rows with `image`, `question` and `answer`, and whatever else is known.

    Args:
        rows: mappings. `image` is a PIL image, a path, encoded bytes or a uint8 array [height, width, 3], or a list of these.
            Further fields, all optional: `options`, `function` (one or more of `FUNCTIONS`), `scene`, `type`, `id`, `split`,
            `boxes` (shares of the picture, XYXY), `objects`, `steps`, `answer_type`; docs/data.md describes them. Without
            functions a study treats the questions as one function, "this task".
        out: folder to store the dataset in, as Parquet; None keeps it in memory.
        seed: of the splits that are dealt.
        splits: splits to deal; questions with the same picture or scene are in one of them.
        progress: see `headatlas.progress`.

    Raises:
        HeadAtlasError: a row cannot be used; the message names the row and says what to write.
    """
    return ROW_READERS["own"](rows, out, seed=seed, splits=splits, progress=progress)


def _questions(made: Iterable[Any], source: str) -> Iterator[Question]:
    for one in made:
        if not isinstance(one, Question):
            raise HeadAtlasError(f"source {source!r} must give Question records, got a {type(one).__name__}")
        yield one


def check_source(source: str | Path) -> None:
    """Raise as `load` does for a name that is no dataset; opens nothing, and a Hugging Face id is not looked up.

    Raises:
        HeadAtlasError: no such source, shipped dataset, folder or file.
    """
    text, path = str(source), Path(source)
    named = [*SOURCES, mini.NAME]
    if text in named or _exists(path):
        return
    folder = near_folder(text)
    is_id = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text) and path.suffix not in (".parquet", ".jsonl")
    if is_id and not folder:
        return
    raise HeadAtlasError(
        f"no such dataset: {text!r}{near(text, named) or folder}; it must be {', '.join(map(repr, named))}, a folder with "
        "Parquet files, a .parquet or .jsonl file, or a Hugging Face dataset id (owner/name); an outside set (listed by "
        "headatlas data importers) is imported first: headatlas data import NAME --from ITS_FILES --out DIR"
    )
