import json

import pytest

from headatlas.report import words
from headatlas.report.page import Page
from headatlas.report.render import to_html
from headatlas.report.sections.claims import claims_section, effect_text
from headatlas.report.tables import read_run


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.061, "share", "6.1 %"), (0.061, "points", "+6.1"), (-1.4, "heads", "−1.40"), (None, "share", "–")],
)
def test_effects_in_their_units(value, unit, text):
    assert effect_text(value, unit) == text


def test_a_group_a_claim_in_the_papers_order_and_a_row_a_scorer(run_dir):
    run = read_run(run_dir)
    with words.scorer_names(run.tables["scorers"]):
        groups = claims_section(run).data
    assert [group["id"] for group in groups] == ["C1", "C2", "C3", "C4", "C5a", "C5b"]
    assert [row["scorer"][-4:] for row in groups[0]["rows"]] == ["(A1)", "(A2)", "(A3)"]
    assert [len(group["rows"]) for group in groups] == [3, 3, 3, 1, 3, 3]
    assert groups[0]["tally"] == "supported with 1 of 3 scorers"


def test_a_change_of_accuracy_is_in_points_whatever_its_unit_is_called(run_dir):
    path = run_dir / "claims.json"
    claims = json.loads(path.read_text())
    for claim in claims["claims"]:
        claim.update(unit="share", effect=-0.021, low=None, high=None)
    path.write_text(json.dumps(claims))
    rows = {group["id"]: group["rows"][0] for group in claims_section(read_run(run_dir)).data}
    assert (rows["C1"]["effect"], rows["C1"]["unit"]) == ("−2.1 %", "")
    assert (rows["C4"]["effect"], rows["C4"]["unit"]) == ("−2.1", "points")
    assert rows["C4"]["interval"] == ""


def test_a_claim_without_effect_shows_why_instead_of_dashes(run_dir):
    path = run_dir / "claims.json"
    claims = json.loads(path.read_text())
    for claim in claims["claims"]:
        if claim["id"] == "C2":
            claim.update(
                verdict="not testable here", effect=None, low=None, high=None, p=None, n=0, sentence="Too few heads."
            )
    path.write_text(json.dumps(claims))
    html = to_html(Page("title", "subtitle", [], [], [claims_section(read_run(run_dir))], []))
    block = html.split("Claim C2")[1].split("Claim C3")[0]
    assert block.count('<span class="why">Too few heads.</span>') == 3
    assert 'data-label="n"' not in block
    assert html.split("Claim C3")[1].split("Claim C4")[0].count('data-label="n"') == 3
