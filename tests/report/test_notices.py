import json

import pandas as pd

from headatlas.report.notices import at_chance, notices
from headatlas.report.render import build_page, to_html
from headatlas.report.tables import read_run


def change_metric(run_dir, metric, **values):
    file = run_dir / "results" / "metrics.csv"
    frame = pd.read_csv(file)
    for column, value in values.items():
        frame.loc[frame["metric"] == metric, column] = value
    frame.to_csv(file, index=False)


def test_a_model_at_chance_gets_one_box_instead_of_findings(run_dir):
    change_metric(run_dir, "SS_chance_corrected", value=0.4, low=-2.0, high=3.0)
    (run_dir / "settings.json").write_text(
        json.dumps({**json.loads((run_dir / "settings.json").read_text()), "quick": True})
    )
    text = to_html(build_page(read_run(run_dir)))
    assert text.count('<aside class="notice') == 1
    assert "no better than guessing" in text
    assert "0.4 (95\u00a0% interval −2.0 to 3.0)" in text
    for missing in ("story", "functions", "claims", "maps", "examples"):
        assert f'<section id="{missing}">' not in text
    for kept in ("task", "settings", "timings"):
        assert f'<section id="{kept}">' in text


def test_a_model_without_a_right_answer_to_own_questions_gets_the_box(run_dir):
    for name in ("metrics", "baseline"):
        file = run_dir / "results" / f"{name}.csv"
        frame = pd.read_csv(file)
        frame = frame.head(0) if name == "metrics" else frame.assign(accuracy=0.0, low=0.0)
        frame.to_csv(file, index=False)
    run = read_run(run_dir)
    run.settings["functions"] = "one task"
    text = to_html(build_page(run))
    assert text.count('<aside class="notice') == 1
    assert "answers none of these questions right" in text
    assert '<section id="maps">' not in text


def test_a_model_above_chance_has_no_box(run_dir):
    run = read_run(run_dir)
    assert not at_chance(run)
    assert notices(run) == []


def test_a_model_that_the_picture_does_not_help_is_named(run_dir):
    change_metric(run_dir, "SS_ground", value=1.0, low=-1.0, high=3.0)
    (notice,) = notices(read_run(run_dir))
    assert notice.title == "Seeing the picture does not clearly help this model"


def test_a_quick_run_says_what_it_cannot_tell(run_dir):
    settings = json.loads((run_dir / "settings.json").read_text())
    (run_dir / "settings.json").write_text(
        json.dumps({**settings, "quick": True, "n_random": 5, "n_control_questions": 30})
    )
    (notice,) = notices(read_run(run_dir))
    text = " ".join(notice.lines)
    assert "on 30 questions and 5 random head sets" in text
    assert "cannot be told from chance" in text
    assert "not testable" in text


def test_a_quick_run_tells_how_many_questions_there_really_were(run_dir):
    settings = json.loads((run_dir / "settings.json").read_text())
    quick = {**settings, "quick": True, "n_random": 5, "n_control_questions": 30}
    for there, told in (
        (4, "on 4 questions"),
        (30, "on 30 questions"),
        (340, "on 30 questions"),
        (None, "on 30 questions"),
    ):
        data = {**settings["data"], "questions": {"P": 6, **({} if there is None else {"E": there})}}
        (run_dir / "settings.json").write_text(json.dumps({**quick, "data": data}))
        assert told in " ".join(notices(read_run(run_dir))[0].lines), there
