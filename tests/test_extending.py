"""The recipes of docs/extending.md: installed as a user's package, tested, and used by a study, its report and --help."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
FILES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.S))
STUDY = """
from headatlas.study import make_settings, open_study, run_stages
settings = make_settings(
    "ref-llava", n=48, seed=1, quick=True, scorers=("separation", "linear"), selector="largest_gap", linear_null=20, n_random=2,
    n_control_questions=10, doses=(2,), n_steer=1, n_bootstrap=200, alphas=(0.5,), n_examples=2,
    methods=("louder",),
)
run_stages(open_study(settings, "run"))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The page's files as an installed package, as pip would leave it."""
    home = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        path = home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (home / "my_heads" / "__init__.py").touch()
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = home / "my_heads-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-heads\nVersion: 1.0\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in named.items())
        for group, named in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    return home


def run(package, *args, timeout=500):
    paths = os.pathsep.join([str(package), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *args], cwd=package, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_recipe_has_a_module_a_test_and_an_entry_point():
    modules = {name.removeprefix("my_heads/").removesuffix(".py") for name in FILES if name.startswith("my_heads/")}
    tests = {name.removeprefix("tests/test_").removesuffix(".py") for name in FILES if name.startswith("tests/")}
    groups = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    points = {module.removeprefix("my_heads.") for named in groups.values() for module in named.values()}
    assert len(modules) == 9
    assert modules == tests == points


def test_the_recipes_tests_pass(package):
    out = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert re.search(r"\d+ passed", out)


def test_the_command_is_in_the_help_and_runs(package):
    assert "heads-of" in run(package, "-m", "headatlas", "--help")
    assert "6 layers x 8 heads" in run(package, "-m", "headatlas", "heads-of", "ref-llava")


def test_a_study_and_its_report_use_what_was_added(package):
    run(package, "-c", STUDY)
    results = package / "run" / "results"
    assert "separation" in (results / "scores.csv").read_text()
    assert "largest_gap" in (results / "selection.csv").read_text()
    assert "louder" in (results / "methods.csv").read_text()
    page = (package / "run" / "report.html").read_text()
    assert "How deep the heads lie" in page
    assert "Recall is deep" in page
    assert "Separation" in page
