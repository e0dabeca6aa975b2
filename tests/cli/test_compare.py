"""`headatlas compare`, as a user types it."""

import json

import pytest
from compare_runs import keep_scorers
from synthetic_run import write_run

from headatlas import cli
from headatlas.vlm.loading import Loading


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(part) for part in arguments])
    told = capsys.readouterr()
    return stop.value.code, told.out, told.err


@pytest.fixture
def runs(tmp_path):
    return [
        keep_scorers(write_run(tmp_path / name, seed=seed, model=f"org/{name}"), "ablation")
        for seed, name in enumerate(("one", "two"))
    ]


def test_two_runs_give_a_page_and_verdicts(runs, tmp_path, capsys):
    code, out, err = run(capsys, "compare", *runs, "--out", tmp_path / "both", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["models"] == ["one", "two"]
    assert len(told["claims"]) == 2 * 16
    assert (tmp_path / "both" / "report.html").is_file()


def test_the_verdicts_are_printed_model_by_model(runs, tmp_path, capsys):
    from headatlas.cli.commands.compare import print_comparison
    from headatlas.compare.per_model import claims_table, models_table
    from headatlas.compare.runs import read_models

    folder = tmp_path / "both" / "comparison"
    folder.mkdir(parents=True)
    models = read_models(runs)
    models_table(models, tmp_path).to_csv(folder / "models.csv", index=False)
    claims_table(models).to_csv(folder / "claims.csv", index=False)
    print_comparison(tmp_path / "both", as_json=False)
    out = capsys.readouterr().out
    assert "C5b" in out
    assert "supported" in out
    assert "report.html" in out


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ((), "missing argument"),
        (("one",), "at least two runs"),
        (("one", "nowhere"), "must be a run directory"),
        (("one", "two", "--out", "one"), "holds the run of one model"),
    ],
)
def test_mistakes_are_one_clear_line(runs, tmp_path, monkeypatch, capsys, wrong, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "compare", *wrong)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_study_does_not_overwrite_a_comparison(tmp_path, capsys):
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "models.csv").write_text("model\n")
    code, _, err = run(capsys, "study", "ref-llava", "--out", tmp_path)
    assert code == 2
    assert "holds a comparison" in err


def test_a_study_of_several_models_takes_different_ones(tmp_path, capsys):
    code, _, err = run(capsys, "study", "ref-llava", "ref-llava", "--out", tmp_path / "out")
    assert code == 2
    assert "'ref-llava' 2 times" in err
    assert not (tmp_path / "out").exists()


def test_a_study_of_several_models_ends_in_their_comparison(tmp_path, monkeypatch, capsys):
    """The stages have tests in tests/study; here they are replaced by a copy of a finished run."""
    from headatlas.compare import studies

    def stages(study):
        keep_scorers(write_run(study.run.root, model=study.settings.model), "ablation")

    monkeypatch.setattr(studies, "run_stages", stages)
    monkeypatch.setattr(Loading, "check", lambda loading, name: None)
    code, out, err = run(capsys, "study", "ref-llava", "org/two", "--quick", "--out", tmp_path / "out", "--json")
    assert code == 0, err
    assert json.loads(out)["models"] == ["ref-llava", "two"]
    assert (tmp_path / "out" / "report.html").is_file()
    assert (tmp_path / "out" / "two" / "settings.json").is_file()
