"""The notebooks run as they are, and their pages on the site show the same code and the outputs of today's code."""

import difflib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def renderer():
    spec = importlib.util.spec_from_file_location("render_tutorials", DOCS / "render_tutorials.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(notebook, tmp_path):
    # In a process of its own, as people run it: without the checks of array shapes, which would double the time.
    command = [sys.executable, str(DOCS / "render_tutorials.py"), notebook.stem, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / f"{notebook.stem}.md").read_text(encoding="utf-8")
    assert "```python" in page
    assert "<table class" not in page
    assert set(re.findall(r"\]\(([^)/]+\.png)\)", page)) == {picture.name for picture in tmp_path.glob("*.png")}
    assert_alike(page, notebook.with_suffix(".md").read_text(encoding="utf-8"))


def assert_alike(made: str, shown: str) -> None:
    """What the cells print is on the page: nine of ten lines, their numbers within 3 or 15 % (processors round differently)."""
    here, there = ([line for block in OUTPUT.findall(page) for line in block.splitlines()] for page in (made, shown))
    words = [[NUMBER.sub("#", line) for line in lines] for lines in (here, there)]
    same = difflib.SequenceMatcher(None, *words, autojunk=False).get_matching_blocks()
    pairs = [(here[one.a + i], there[one.b + i]) for one in same for i in range(one.size)]
    close = [a for a, b in pairs if all(map(_close, NUMBER.findall(a), NUMBER.findall(b)))]
    assert len(close) >= 0.9 * max(len(here), len(there)), (
        f"run python docs/render_tutorials.py: {there} on the page, {here} now"
    )


def _close(a: str, b: str) -> bool:
    x, y = float(a), float(b)
    return abs(x - y) <= max(3, 0.15 * abs(y)) if max(abs(x), abs(y)) > 1 else abs(x - y) <= 0.15


def test_outputs_of_older_code_are_noticed():
    page = "```text\nspatial score 72 -> 88\nright: 84%\n```\n"
    assert_alike(page, page.replace("88", "87"))
    for other in (page.replace("88", "48"), page.replace("spatial", "final"), page.replace("right: 84%\n", "")):
        with pytest.raises(AssertionError, match="render_tutorials"):
            assert_alike(page, other)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_shows_the_notebooks_code(notebook, renderer):
    page = notebook.with_suffix(".md").read_text(encoding="utf-8")
    for kind, source in renderer.cells(notebook):
        assert source in page, "run python docs/render_tutorials.py"
        assert kind in ("markdown", "code")
    assert f"tutorials/{notebook.stem}.md" in (DOCS.parent / "zensical.toml").read_text(encoding="utf-8")
    assert "<table class" not in page, "the site does not style tables with a class"
    for line in page.splitlines():
        if line.startswith("!["):
            assert (notebook.parent / line.rpartition("(")[2].rstrip(")")).is_file(), line
