"""SHAPES: red, green and blue circles, squares and triangles in 3 x 3 cells, and yes/no questions in a small grammar.

Input: `<part>.input.npy` (uint8, [N, 30, 30, 3], channels blue, green, red) and the text files `<part>.query`,
`<part>.query_str.txt` and `<part>.output` with one line for each picture. The set has no layout, so it is read from the
pixels: a shape sits in the middle of its cell. Every query is evaluated on that layout; a record whose result differs from the
given output is listed as left out. "Left of" means the next cell.

Tested on the real files (val and tiny).

Source: Andreas et al. 2016, arXiv 1511.02799; files in https://github.com/ronghanghu/n2nmn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import HIGH, LOW, MATH, RELATION, SPATIAL, TEXT, Chain
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin, regular
from headatlas.importing.registry import importer

Cell = tuple[int, int]
Grid = dict[Cell, tuple[str, str]]
"""(row, column) from 0 -> (colour, shape)."""

_CHANNELS = ("blue", "green", "red")
_STEPS: dict[str, Cell] = {"left_of": (0, -1), "right_of": (0, 1), "above": (-1, 0), "below": (1, 0)}
_TWICE = re.compile(r"\b(left of|right of|above|below) (?=(?:left of|right of|above|below)\b)")
"""Matches two relations in a row: "above below a square" becomes "above the cell below a square"."""
_NOTE = "(Left of, right of, above and below mean the next cell.)"


@importer(
    "shapes",
    title="SHAPES",
    home="https://github.com/ronghanghu/n2nmn",
    licence="BSD-2-Clause",
    shareable=True,
    steps="derived",
    tested_on="real files",
    files=("*.npy", "*.query", "*.query_str.txt", "*.output"),
)
def shapes(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One yes/no question per picture. The question type is the number of chained relations."""
    for path in origin.need("*.input.npy"):
        stem = path.name.removesuffix(".input.npy")
        try:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise HeadAtlasError(f"{path}: not a readable array ({error})") from error
        if pixels.ndim != 4 or pixels.shape[1:] != (30, 30, 3) or pixels.dtype != np.uint8:
            raise HeadAtlasError(f"{path}: must be uint8 [N, 30, 30, 3], got {pixels.dtype} {list(pixels.shape)}")
        lines = [_lines(path.with_name(stem + end)) for end in (".query", ".query_str.txt", ".output")]
        if {len(part) for part in lines} != {len(pixels)}:
            raise HeadAtlasError(f"{path}: {len(pixels)} pictures, but {[len(part) for part in lines]} lines beside it")
        for i, (query, words, output) in enumerate(zip(*lines, strict=True)):
            key = f"{stem}-{i:05d}"
            try:
                yield _draft(key, pixels[i], query, words, output.strip(), f"{path.name}#{i}")
            except ODD as error:
                yield left_out(key, error)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in regular(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise HeadAtlasError(f"{path}: cannot be read ({error})") from error


def _draft(key: str, pixels: UInt8[np.ndarray, "30 30 3"], query: str, words: str, output: str, name: str) -> Draft:
    tree, grid = parse_query(query), read_grid(pixels)
    holds = bool(_cells(tree[1], grid) & _cells(tree[2], grid))
    if output not in ("true", "false") or holds != (output == "true"):
        raise Unusable(f"{query} is {holds} for the picture, but {output[:20]!r} in the set")
    answer = "yes" if holds else "no"
    hops = query.count("(") - 1
    said = _TWICE.sub(r"\1 the cell ", words.strip().capitalize())
    text = f"{said}? {_NOTE}" if hops else f"{said}?"
    looks = (RELATION, SPATIAL) if hops else (LOW, HIGH)  # the steps before say where to look, not what is there
    steps = _steps(tree, grid).end(answer, "yes_no", looks=looks)
    objects = tuple(_objects(grid))
    picture = Picture(name, read=_encoder(np.array(pixels)))
    return Draft(key, text, answer, "yes_no", steps, (picture,), (), f"{hops} relations", "", objects)


def _encoder(pixels: UInt8[np.ndarray, "30 30 3"]) -> Callable[[], bytes]:
    def encode() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(buffer, format="PNG")
        return buffer.getvalue()

    return encode


def read_grid(pixels: UInt8[np.ndarray, "30 30 3"]) -> Grid:
    """The things in the nine cells of a picture (uint8 [30, 30, 3], blue, green, red)."""
    grid: Grid = {}
    for row in range(3):
        for column in range(3):
            cell = pixels[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10].astype(float)
            ink = cell.max(axis=2)
            if ink.max() < 60:
                continue
            ink = ink / ink.max()
            upright = np.abs(ink - ink[::-1]).sum() / ink.sum()  # 0 for shapes that are the same upside down
            fill = ink.sum() / (ink.sum(axis=1).max() * ink.sum(axis=0).max())  # 1 for a square, under 0.9 for a circle
            shape = "triangle" if upright > 0.5 else "square" if fill > 0.93 else "circle"
            grid[row, column] = (_CHANNELS[int(cell.sum(axis=(0, 1)).argmax())], shape)
    return grid


def parse_query(query: str) -> list[Any]:
    """`(is blue (above green))` as nested lists; raises `Unusable` for any other text."""
    tokens = re.findall(r"[()]|[^\s()]+", query)

    def read(i: int) -> tuple[Any, int]:
        if tokens[i] != "(":
            return tokens[i], i + 1
        made, i = [], i + 1
        while tokens[i] != ")":
            item, i = read(i)
            made.append(item)
        return made, i + 1

    try:
        tree, end = read(0)
    except IndexError as error:
        raise Unusable(f"the query {query!r:.60} lacks a closing bracket") from error
    if end != len(tokens) or not isinstance(tree, list) or len(tree) != 3 or tree[0] != "is":
        raise Unusable(f"a query must be (is A B), got {query!r:.60}")
    return tree


def _cells(tree: Any, grid: Grid) -> set[Cell]:
    if isinstance(tree, str):
        return {cell for cell, thing in grid.items() if tree in thing}
    if len(tree) != 2 or tree[0] not in _STEPS:
        raise Unusable(f"a relation must be one of {', '.join(_STEPS)}, got {tree!r:.40}")
    down, across = _STEPS[tree[0]]
    reached = ((r + down, c + across) for r, c in _cells(tree[1], grid))
    return {(r, c) for r, c in reached if 0 <= r < 3 and 0 <= c < 3}


def _thing(word: str) -> str:
    return word if word in ("circle", "square", "triangle") else f"{word} shape"


def _steps(tree: list[Any], grid: Grid) -> Chain:
    chain = Chain()
    relations, inner = [], tree[2]
    while isinstance(inner, list):
        relations.append(inner[0])
        inner = inner[1]
    chain.ask("How many relations does the question name?", len(relations), TEXT, kind="relations_named")
    chain.ask("How many of the nine cells are filled?", len(grid), MATH, HIGH, kind="filled", optional=True)
    for word in dict.fromkeys((inner, tree[1])):
        count = sum(word in thing for thing in grid.values())
        colored = _thing(word) != word
        chain.ask(f"How many {_thing(word)}s are there?", count, MATH, LOW if colored else HIGH, kind="count")
    found = sorted(_cells(inner, grid))
    if len(found) == 1:
        row, column = found[0]
        thing, box = _thing(inner), [_box(found[0])]
        chain.ask(f"Which row is the {thing} in, counted from the top?", row + 1, SPATIAL, kind="row_of", boxes=box)
        text = f"Which column is the {thing} in, counted from the left?"
        chain.ask(text, column + 1, SPATIAL, kind="column_of", boxes=box)
    else:
        count = sum(row == 0 for row, _ in found)
        chain.ask(f"How many {_thing(inner)}s are in the top row?", count, SPATIAL, MATH, kind="in_top_row")
    if relations:
        nearest = relations[-1]
        reached = _cells([nearest, inner], grid) & set(grid)
        where = nearest.replace("_", " ")
        text = f"How many filled cells lie right next to a {_thing(inner)} and {where} it?"
        chain.ask(text, len(reached), RELATION, MATH, kind="reached")
    else:
        text = f"Is any {_thing(inner)} next to another {_thing(inner)}, above, below, left or right?"
        near = any((r + d, c + a) in found for r, c in found for d, a in _STEPS.values())
        chain.ask(text, near, RELATION, kind="neighbours")
    return chain


def _box(cell: Cell) -> Box:
    row, column = cell
    return Box(x0=column / 3, y0=row / 3, x1=(column + 1) / 3, y1=(row + 1) / 3)


def _objects(grid: Grid) -> Iterator[SceneObject]:
    for number, (cell, (color, shape)) in enumerate(sorted(grid.items())):
        yield SceneObject(id=number, cls=shape, color=color, box=_box(cell), row=cell[0] + 1, column=cell[1] + 1)
