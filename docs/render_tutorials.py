"""Run the notebooks in docs/tutorials/ and write each as a page with its outputs.

    python docs/render_tutorials.py [NAME ...] [--out DIR]

Zensical shows Markdown only. The cells run in order in one namespace, in a temporary folder; what they print, and what the last
expression of a cell is, goes below the cell. Pictures become PNG files beside the page.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "tutorials"
WIDEST = 900  # pixels of a picture on a page


def cells(notebook: Path) -> list[tuple[str, str]]:
    """(kind, source) of every cell."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def run_cell(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Run one cell; returns what it printed, and the value of its last line if that is an expression."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(last, "cell", "eval"), names) if last is not None else None
    return printed.getvalue(), value


def shown(value: Any, picture: Path) -> str:
    """The value of a cell as Markdown; pictures and charts are written to `picture`."""
    import pandas as pd
    from PIL import Image

    if value is None:
        return ""
    if isinstance(value, Image.Image):
        value.thumbnail((WIDEST, WIDEST))
        value.save(picture, optimize=True)
        return f"![Output of the cell above]({picture.name})\n"
    if type(value).__module__.startswith("altair"):
        import vl_convert

        picture.write_bytes(vl_convert.vegalite_to_png(value.to_json(), scale=1.5))
        return f"![Chart made by the cell above]({picture.name})\n"
    if isinstance(value, pd.DataFrame):
        # The site gives only tables without a class its lines and spacing.
        return value.to_html(border=0).replace('<table class="dataframe">', "<table>") + "\n"
    return f"```text\n{value!r}\n```\n"


def render(notebook: Path, out: Path) -> str:
    """Run a notebook and write its page and pictures to the folder `out`; returns the page."""
    names: dict[str, Any] = {"__name__": "__main__"}
    parts = []
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for number, (kind, source) in enumerate(cells(notebook)):
                if kind == "markdown":
                    parts.append(source + "\n")
                    continue
                printed, value = run_cell(source, names)
                parts.append(f"```python\n{source}\n```\n")
                if printed.strip():
                    parts.append(f"```text\n{printed.rstrip()}\n```\n")
                if output := shown(value, out / f"{notebook.stem}_{number:02d}.png"):
                    parts.append(output)
        finally:
            os.chdir(before)
    link = f"*This page is the notebook [{notebook.name}]({notebook.name}), with its outputs.*\n"
    page = "\n".join([parts[0], link, *parts[1:]])
    (out / f"{notebook.stem}.md").write_text(page, encoding="utf-8")
    return page


def main() -> None:
    """Render the notebooks of these names, by default all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    for notebook in sorted(HERE.glob("*.ipynb")):
        if not given.names or notebook.stem in given.names:
            render(notebook, given.out.resolve())


if __name__ == "__main__":
    main()
