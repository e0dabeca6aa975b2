"""`headatlas models` prints tables on stdout, writes JSON, and ends in 1 if anything fails."""

import pytest
from typer.testing import CliRunner

from headatlas.cli.app import make_app
from headatlas.errors import HeadAtlasError
from headatlas.proof import MODEL_TYPES, FamilyReport
from headatlas.proof import run as module


@pytest.fixture
def call(monkeypatch):
    """Runs the command with workers replaced: git fails, everything else is proven."""

    class Worker:
        def ask(self, family, limit):
            return FamilyReport(family, status="fails" if family == "git" else "proven", reason="why").to_json()

        def close(self):
            pass

    monkeypatch.setattr(module, "_Worker", Worker)
    return lambda *words: CliRunner().invoke(make_app(), ["models", *words])


def test_check_then_table(call, tmp_path):
    path = tmp_path / "models.json"
    result = call("check", "llava", "aria", "--json", str(path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith("2 proven")
    table = call("table", str(path))
    assert table.exit_code == 0
    assert "| llava |" in table.stdout


def test_a_failure_is_exit_code_one(call):
    assert call("check", "git", "llava", "--jobs", "2").exit_code == 1


def test_all_is_all(call):
    assert f"{len(MODEL_TYPES)} families in" in call("check", "--all").stdout
    assert call("list").stdout.split() == list(MODEL_TYPES)


@pytest.mark.parametrize("words", [("check",), ("check", "llava", "--all"), ("table", "nowhere.json")])
def test_mistakes_are_one_clear_line(call, words):
    result = call(*words)
    assert isinstance(result.exception, HeadAtlasError)
    assert "\n" not in str(result.exception)
