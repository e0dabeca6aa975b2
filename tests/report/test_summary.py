import pandas as pd

from headatlas.report.summary import summarise
from headatlas.report.tables import read_run


def test_the_paragraph_has_the_runs_own_numbers(run_dir):
    run = read_run(run_dir)
    text = " ".join(summarise(run))
    final = run.tables["baseline"].query("group_kind == 'final' and context == 'own'")["accuracy"].item()
    assert f"{100 * final:.1f} % of 340 questions" in text
    assert "The paper's 6 claims get 16 verdicts" in text
    assert "of the model's 48 heads" in text


def test_sentences_without_numbers_are_left_out(run_dir):
    whole = len(summarise(read_run(run_dir)))
    (run_dir / "results" / "baseline.csv").unlink()
    (run_dir / "results" / "activation.csv").unlink()
    (run_dir / "claims.json").unlink()
    assert len(summarise(read_run(run_dir))) == whole - 3


def test_a_gain_of_the_activation_is_told_with_its_sign_and_interval(run_dir):
    file = run_dir / "results" / "activation.csv"
    frame = pd.read_csv(file)
    row = (frame["arm"] == "boxes+mask") & (frame["group"] == "spatial")
    frame.loc[row, ["gain", "low", "high"]] = [-0.25, -0.3, -0.2]
    frame.to_csv(file, index=False)
    assert summarise(read_run(run_dir))[-1].endswith("by −25.0 points (95 % interval −30.0 to −20.0).")
