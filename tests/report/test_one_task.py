from headatlas.report.one_task import ONE_TASK, for_the_task
from headatlas.report.render import build_page, to_html
from headatlas.report.tables import read_run
from headatlas.results import RESULTS
from headatlas.study.claims import judge


def test_a_study_without_functions_says_what_it_leaves_out(run_dir):
    run = read_run(run_dir)
    run.settings.update(functions=ONE_TASK, too_few=["Split E has 4 pictures; 60 are needed."])
    page = build_page(run)
    ids = [section.id for section in page.sections]
    assert ids[:2] == ["story", "this-task"]
    assert not {"overlap", "damage", "counts"} & set(ids)
    assert {"claims", "task", "maps", "negative"} <= set(ids)
    html = to_html(page)
    assert "for one task" in html
    assert "Shared heads" in html
    assert "The eight functions" not in html
    assert "There are few pictures." in html
    assert "Split E has 4 pictures" in html
    assert "Relational reasoning (" not in html


def test_nothing_left_out_is_no_empty_list(run_dir):
    run = read_run(run_dir)
    run.settings["functions"] = ONE_TASK
    (section,) = for_the_task([], run)
    assert "Left out" not in " ".join(block.text for block in section.blocks)


def test_claims_that_cannot_be_tested_are_left_out(run_dir):
    run = read_run(run_dir)
    run.settings.update(functions=ONE_TASK, quick=True)
    for claim in run.claims:
        claim["verdict"] = "not testable here"
    page = build_page(run)
    assert "claims" not in [section.id for section in page.sections]
    assert "cannot be tested with this run" in " ".join(page.notices[0].lines)


def test_a_study_with_functions_is_not_changed(run_dir):
    page = build_page(read_run(run_dir))
    assert "this-task" not in [section.id for section in page.sections]


def test_claims_on_functions_are_not_testable_without_them():
    claims = judge(lambda name: RESULTS[name].empty(), ["ablation"], one_task=True)
    assert {claim.verdict for claim in claims} == {"not testable here"}
    assert all("do not say which functions" in claim.sentence for claim in claims)
    assert all(claim.p is None for claim in claims)
