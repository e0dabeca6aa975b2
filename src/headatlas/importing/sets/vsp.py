"""VSP mazes (Visual Spatial Planning): a small map with a player, a goal and holes, seen from above.

Input: the authors' folders, with one file for each field. `task1/maps/level<k>/{img,table,question,answer}/<i>` ask whether
there is a hole in a cell. `task2/maps/level<k>/{img,table}/<i>` are planning tasks without a given answer: the question made
here is how many moves the shortest safe way takes. Steps and answers are derived from `table` (`@` player, `*` goal, `#`
hole); the given answers of task 1 are checked against it.

Tested on the real files.

Source: Wu et al. 2024, arXiv 2407.01863, https://github.com/UCSB-NLP-Chang/Visual-Spatial-Planning.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.importing.chain import HIGH, MATH, RELATION, SPATIAL, TEXT, Chain
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin, regular
from headatlas.importing.registry import importer

Cell = tuple[int, int]
_NAMES = {"@": "the player", "*": "the goal", "#": "a hole", "_": "nothing"}
_CLASSES = {"@": "player", "*": "goal", "#": "hole"}


@importer(
    "vsp",
    title="Visual Spatial Planning, mazes",
    home="https://github.com/UCSB-NLP-Chang/Visual-Spatial-Planning",
    licence="MIT",
    shareable=True,
    steps="derived",
    tested_on="real files",
    files=("*.txt", "*.png"),
)
def vsp(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One question per map. The question types are `hole` (yes/no) and `moves` (a number)."""
    for path in origin.need("table/*.txt"):
        level, task = path.parent.parent, next((p for p in path.parts if re.fullmatch(r"task\d+", p)), "")
        key = "-".join(part for part in (task, level.name, path.stem) if part)
        try:
            rows = _table(path)
            question = level / "question" / path.name
            name = (level / "img" / f"{path.stem}.png").relative_to(origin.root).as_posix()
            make = _hole(rows, question, level / "answer" / path.name) if question.is_file() else _moves(rows)
            text, answer, answer_type, question_type, chain, looks = make
            steps = chain.end(answer, answer_type, looks=looks)
            objects = tuple(_objects(rows))
            yield Draft(key, text, answer, answer_type, steps, (Picture(name),), (), question_type, "", objects)
        except ODD as error:
            yield left_out(key, error)


def _read(path: Path) -> str:
    try:
        return regular(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise Unusable(f"{path.parent.name}/{path.name} cannot be read") from error


def _table(path: Path) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")][1:] for line in _read(path).splitlines()[1:]]
    cells = [cell for row in rows for cell in row]
    if not cells or len({len(row) for row in rows}) > 1 or not set(cells) <= set(_NAMES):
        raise Unusable(f"table/{path.name}: must have rows of {' '.join(_NAMES)}")
    if cells.count("@") != 1 or cells.count("*") != 1:
        raise Unusable(f"table/{path.name}: must have one player and one goal")
    return rows


def _find(rows: list[list[str]], mark: str) -> Cell:
    return next((r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == mark)


def _hole(rows: list[list[str]], question: Path, answer: Path):
    text = _read(question)
    m = re.search(r"row (\d+), column (\d+)", text, re.IGNORECASE)
    if not m or not (1 <= int(m[1]) <= len(rows) and 1 <= int(m[2]) <= len(rows[0])):
        raise Unusable(f"question/{question.name}: must name a row and a column of the map, got {text[:60]!r}")
    row, column = int(m[1]), int(m[2])
    cell, said = rows[row - 1][column - 1], _read(answer).upper()
    if said not in ("Y", "N") or (said == "Y") != (cell == "#"):
        raise Unusable(
            f"answer/{answer.name} must agree with the table, which has {_NAMES[cell]} there; got {said[:10]!r}"
        )
    chain, holes = Chain(), sum(line.count("#") for line in rows)
    chain.ask("Which row does the question name?", row, TEXT, kind="row_named")
    chain.ask("Which column does the question name?", column, TEXT, kind="column_named")
    chain.ask("How many holes are there on the whole map?", holes, MATH, HIGH, kind="count_holes")
    in_row = rows[row - 1].count("#")
    chain.ask("How many holes are in the row that the question names?", in_row, SPATIAL, MATH, kind="holes_in_row")
    _place(chain, rows, "@", "player")
    options = tuple(_NAMES.values())
    asked = f"What is in that cell: {', '.join(options[:-1])} or nothing?"
    chain.ask(asked, _NAMES[cell], SPATIAL, HIGH, kind="in_cell", options=options)
    return text, "yes" if said == "Y" else "no", "yes_no", "hole", chain, ()


def _place(chain: Chain, rows: list[list[str]], mark: str, name: str) -> None:
    row, column = _find(rows, mark)
    chain.ask(f"Which row is the {name} in, counted from the top?", row + 1, SPATIAL, kind="row_of")
    chain.ask(f"Which column is the {name} in, counted from the left?", column + 1, SPATIAL, kind="column_of")


def _moves(rows: list[list[str]]):
    start, goal = _find(rows, "@"), _find(rows, "*")
    length = shortest(rows, start, goal)
    if length is None:
        raise Unusable("no safe way leads from the player to the goal")
    down, across = goal[0] - start[0], goal[1] - start[1]
    chain = Chain()
    _place(chain, rows, "@", "player")
    _place(chain, rows, "*", "goal")
    if down:
        text, options = "Is the goal above or below the player?", ("above", "below")
        chain.ask(text, "below" if down > 0 else "above", RELATION, kind="above_below", options=options)
    if across:
        text, options = "Is the goal left or right of the player?", ("left", "right")
        chain.ask(text, "right" if across > 0 else "left", RELATION, kind="left_right", options=options)
    straight = abs(down) + abs(across)
    text = "How many moves would the way take if there were no holes?"
    chain.ask(text, straight, MATH, kind="moves_without_holes", needs_image=False)
    text = "Must the player go a longer way because of the holes?"
    chain.ask(text, length > straight, SPATIAL, RELATION, kind="detour")
    text = (
        "The player moves one cell up, down, left or right at a time and may not enter a hole. "
        "How many moves does the shortest way to the goal take?"
    )
    looks = (SPATIAL, MATH) if length > straight else ()  # no earlier step says how much longer the detour is
    return text, str(length), "number", "moves", chain, looks


def shortest(rows: list[list[str]], start: Cell, goal: Cell) -> int | None:
    """Number of moves of the shortest way that enters no hole; None if there is none."""
    todo, seen = deque([(start, 0)]), {start}
    while todo:
        (r, c), moves = todo.popleft()
        if (r, c) == goal:
            return moves
        for cell in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            inside = 0 <= cell[0] < len(rows) and 0 <= cell[1] < len(rows[0])
            if inside and cell not in seen and rows[cell[0]][cell[1]] != "#":
                seen.add(cell)
                todo.append((cell, moves + 1))
    return None


def _objects(rows: list[list[str]]) -> Iterator[SceneObject]:
    height, width = len(rows), len(rows[0])
    found = ((r, c, cell) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell in _CLASSES)
    for number, (r, c, cell) in enumerate(found):
        box = Box(x0=c / width, y0=r / height, x1=(c + 1) / width, y1=(r + 1) / height)
        yield SceneObject(id=number, cls=_CLASSES[cell], box=box, row=r + 1, column=c + 1)
