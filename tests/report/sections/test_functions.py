import json
import math

import pandas as pd

from headatlas.report.page import FunctionVerdicts, Gauge, Note, PerScorer
from headatlas.report.registry import SECTIONS
from headatlas.report.tables import read_run


def views_of(run):
    (block,) = SECTIONS["functions"].build(run).blocks
    assert isinstance(block, PerScorer)
    return block.views


def test_each_function_has_the_verdicts_of_the_claims_with_its_number_and_control(run_dir):
    run = read_run(run_dir)
    _, verdicts, _ = views_of(run)["paper"]
    assert isinstance(verdicts, FunctionVerdicts)
    assert len(verdicts.rows) == 8
    title, spatial, heads, (needed, few) = verdicts.rows[0]
    assert (title, spatial) == ("Spatial perception", True)
    assert heads
    parts = {c["id"]: c["parts"][0] for c in run.claims if c["scorer"] == "paper" and c["parts"]}
    assert (needed.verdict, few.verdict) == (parts["C5a"]["verdict"], parts["C1"]["verdict"])
    row = run.tables["negative"].query("scorer == 'paper' and function == 'spatial_perception'").iloc[0]
    assert needed.gauge is not None
    assert few.gauge is not None
    assert math.isclose(needed.gauge.value, 100 * row["drop"])
    assert math.isclose(needed.gauge.control, 100 * row["random_drop"])
    assert few.gauge.bound == 75.0
    assert "more than random heads" in needed.note


def test_why_a_large_share_is_inconclusive_is_said(run_dir):
    path = run_dir / "results" / "concentration.csv"
    pd.read_csv(path).assign(form=0.74).to_csv(path, index=False)
    few = views_of(read_run(run_dir))["paper"][1].rows[0][3][1]
    assert "74 % of the lost answers are unreadable" in few.note
    pd.read_csv(path).assign(form=0.1).to_csv(path, index=False)
    few = views_of(read_run(run_dir))["paper"][1].rows[0][3][1]
    assert "unreadable" not in few.note


def test_a_scorer_that_was_not_judged_names_those_that_were(run_dir):
    claims = json.loads((run_dir / "claims.json").read_text())
    claims["claims"] = [entry for entry in claims["claims"] if entry["scorer"] == "ablation"]
    (run_dir / "claims.json").write_text(json.dumps(claims))
    (note,) = views_of(read_run(run_dir))["paper"]
    assert isinstance(note, Note)
    assert note.text.endswith("Only heads found by Ablation were silenced and judged.")


def test_a_gauge_puts_numbers_on_its_axis_and_leaves_out_what_is_not_known():
    gauge = Gauge(-10.0, 30.0, 10.0, "", low=-20.0, high=40.0)
    assert (gauge.at(gauge.value), gauge.at(gauge.low), gauge.at(gauge.high)) == (50, 0, 100)
    assert gauge.at(gauge.control) is None
    assert Gauge(0.0, 0.0, 1.0, "").at(1.0) is None
