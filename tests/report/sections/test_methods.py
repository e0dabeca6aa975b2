"""What the positive control says, and what it does not."""

import json

import pandas as pd

from headatlas.report.one_task import ONE_TASK
from headatlas.report.page import Figure, Note, Table
from headatlas.report.sections.methods import methods_section
from headatlas.report.tables import read_run


def shown(run_dir, **change):
    path = run_dir / "results" / "positive_control.csv"
    pd.read_csv(path).assign(**change).to_csv(path, index=False)
    blocks = methods_section(read_run(run_dir)).blocks
    text = next(block.text for block in blocks if isinstance(block, Note) and "Positive control" in block.text)
    table = next(block for block in blocks if isinstance(block, Table) and "Positive control" in block.title)
    return text, table


def test_what_a_method_brings_back_is_said_with_the_faint_heads_it_acts_on(run_dir):
    text, table = shown(run_dir)
    assert "falls from 80.0 to 60.0; a gain of 16 would restore it" in text
    assert "Gain brings back 90 % of the loss and acts on 2 of the 2 faint heads" in text
    assert [row[:2] for row in table.rows] == [("Gain", "yes"), ("Gaze", "no")]


def test_a_control_that_shows_nothing_says_so(run_dir):
    text, _ = shown(run_dir, lost_low=-1.0)
    assert "cannot be distinguished from none" in text
    text, _ = shown(run_dir, lost_low=15.0, helps=False)
    assert "says nothing about its heads" in text
    text, _ = shown(run_dir, helps=[True, False], n_found=0)
    assert "without acting on a faint head" in text


def test_one_task_has_right_answers_and_no_other_steps(run_dir):
    settings = json.loads((run_dir / "settings.json").read_text())
    (run_dir / "settings.json").write_text(json.dumps(settings | {"functions": ONE_TASK}))
    for name, columns in (
        ("methods", ["off_task_gain", "off_task_low", "off_task_high"]),
        ("method_strengths", ["off_task"]),
    ):
        path = run_dir / "results" / f"{name}.csv"
        pd.read_csv(path).assign(**dict.fromkeys(columns, float("nan"))).to_csv(path, index=False)
    section = methods_section(read_run(run_dir))
    swatches = {swatch.text for block in section.blocks if isinstance(block, Figure) for swatch in block.swatches}
    assert {"Right answers", "Right answers, own earlier answers"} <= swatches
    words = section.title + " ".join(
        [
            *swatches,
            *(b.text for b in section.blocks if isinstance(b, Note)),
            *(c for b in section.blocks if isinstance(b, Table) for c in b.columns),
        ]
    )
    assert "patial" not in words.replace("Spatial heads", "")
    assert not any("Other" in text for text in swatches)


def test_without_a_control_the_page_says_that_there_is_none(run_dir):
    (run_dir / "results" / "positive_control.csv").unlink()
    notes = [block.text for block in methods_section(read_run(run_dir)).blocks if isinstance(block, Note)]
    assert any("positive_control.csv" in text for text in notes)
