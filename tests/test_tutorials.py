"""The notebooks run as they are, and their pages on the site show the same code."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


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
