import json
from dataclasses import replace

import pandas as pd
import pytest

from headatlas.report.one_task import ONE_TASK
from headatlas.report.page import PerScorer, Story
from headatlas.report.registry import SECTIONS
from headatlas.report.render import build_page
from headatlas.report.tables import read_run


def story_of(run, scorer="paper") -> Story:
    (block,) = SECTIONS["story"].build(run).blocks
    assert isinstance(block, PerScorer)
    (story,) = block.views[scorer]
    assert isinstance(story, Story)
    return story


def with_negative(run, **values):
    """The run with these values in the row of spatial perception's heads that the opening is about."""
    frame = run.tables["negative"].copy()
    for column, value in values.items():
        frame.loc[frame["function"] == "spatial_perception", column] = value
    return replace(run, tables={**run.tables, "negative": frame})


def test_three_sentences_and_a_picture_of_three_panels_with_the_runs_numbers(run_dir):
    story = story_of(with_negative(read_run(run_dir), before=0.9, after=0.5, random_drop=0.02))
    first, second, third, _ = story.sentences
    assert first.startswith("Of the 48 attention heads of synthetic-vlm, 3 stand out for spatial perception")
    assert story.heads == ("L5.H0", "L5.H1", "L5.H2")
    assert second.startswith("On average they put")
    assert "falls from 90.0 % to 50.0 %" in third
    assert "without as many random heads it is 88.0 %" in third
    assert story.map is not None
    assert [shot.head for shot in story.shots] == ["", "L5.H0", "L5.H1", "L5.H2"]
    assert [bar.text for bar in story.bars] == ["90.0 %", "50.0 %", "88.0 %"]


@pytest.mark.parametrize(
    ("heads", "words"), [("L5.H0 L5.H1", "the 2 best were silenced:"), ("L5.H1", "the best was silenced:")]
)
def test_heads_that_were_selected_but_not_silenced_are_counted(run_dir, heads, words):
    run = with_negative(read_run(run_dir), heads=heads)
    selection = run.tables["selection"].copy()
    selection.loc[selection["function"] == "spatial_perception", "heads"] = "L5.H0 L5.H1 L5.H2"
    first = story_of(replace(run, tables={**run.tables, "selection": selection})).sentences[0]
    assert "3 stand out for spatial perception" in first
    assert first.endswith(words)


@pytest.mark.parametrize(
    ("drop", "words"), [(0.17, "accuracy falls by 17 points."), (-0.02, "accuracy does not fall.")]
)
def test_the_third_sentence_names_unreadable_answers(run_dir, drop, words):
    run = read_run(run_dir)
    third = story_of(with_negative(run, unparsable_after=0.42, parsable_drop=drop)).sentences[2]
    assert f"42 % of the answers are then unreadable; among the other answers, {words}" in third
    assert "unreadable" not in story_of(with_negative(run, unparsable_after=0.01)).sentences[2]


@pytest.mark.parametrize(("after", "words"), [(0.95, "rises from 90.0 % to 95.0 %"), (0.9, "stays at 90.0 %")])
def test_the_third_sentence_never_says_that_accuracy_falls_when_it_does_not(run_dir, after, words):
    third = story_of(with_negative(read_run(run_dir), before=0.9, after=after)).sentences[2]
    assert words in third
    assert "falls" not in third


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("supported", ""), ("inconclusive", "not enough to say that they are needed"), ("contradicted", "not what these steps"),
     ("not testable here", "no verdict")],
)  # fmt: skip
def test_the_third_sentence_claims_no_more_than_the_verdict(run_dir, verdict, words):
    claims = json.loads((run_dir / "claims.json").read_text())
    for entry in claims["claims"]:
        for part in entry["parts"]:
            part["verdict"] = verdict
    (run_dir / "claims.json").write_text(json.dumps(claims))
    third = story_of(read_run(run_dir)).sentences[2]
    assert words in third
    assert third.endswith("%.") == (verdict == "supported")


def test_a_scorer_without_spatial_heads_says_so(run_dir):
    run = read_run(run_dir)
    none = run.tables["selection"].assign(count=0, heads="", reason="no head beats shuffled labels")
    story = story_of(replace(run, tables={**run.tables, "selection": none, "negative": run.tables["negative"].head(0)}))
    assert len(story.sentences) == 2  # the other is on the redundant group
    assert story.sentences[0].endswith("by Paper: no head beats shuffled labels.")


def test_a_scorer_without_spatial_heads_names_those_that_found_some(run_dir):
    run = read_run(run_dir)
    table = run.tables["selection"].copy()
    table.loc[table["scorer"] == "paper", ["count", "heads"]] = (0, "")
    run = replace(run, tables={**run.tables, "selection": table, "negative": run.tables["negative"].head(0)})
    second = story_of(run).sentences[1]
    assert second.startswith("Other ways of finding heads did select some: ")
    assert "by Ablation" in second
    assert "Paper" not in second


def test_one_task_without_heads_is_called_this_task(run_dir):
    run = read_run(run_dir)
    run.settings["functions"] = ONE_TASK
    none = run.tables["selection"].assign(count=0, heads="", reason="no head beats shuffled labels")
    run = replace(run, tables={**run.tables, "selection": none, "negative": run.tables["negative"].head(0)})
    assert story_of(run).sentences[0].endswith("none stands out for this task by Paper: no head beats shuffled labels.")
    page = build_page(run)
    (story,) = page.sections[0].blocks[0].views["paper"]
    assert "this task" in story.sentences[0]
    assert "spatial function" not in story.sentences[0]


def test_heads_that_do_not_look_at_the_target_are_not_said_to(run_dir):
    run = read_run(run_dir)
    gaze = run.tables["gaze"].assign(target=0.02, random=0.02)
    assert story_of(replace(run, tables={**run.tables, "gaze": gaze})).sentences[1].startswith("They do not look")
    assert "not measured" in story_of(replace(run, tables={**run.tables, "gaze": gaze.head(0)})).sentences[1]


def test_heads_that_look_are_named_where_the_others_do_not(run_dir):
    run = read_run(run_dir)
    gaze = run.tables["gaze"].assign(target=0.02, random=0.02, low=-0.01)

    def sentence(*looking):
        at = gaze.copy()
        for layer, head in looking:
            at.loc[(at["layer"] == layer) & (at["head"] == head), ["target", "random", "low"]] = 0.4, 0.05, 0.3
        return story_of(replace(run, tables={**run.tables, "gaze": at})).sentences[1]

    assert sentence((5, 1)).startswith("L5.H1 looks at what the question asks about, which gets 40 % of its attention")
    assert "random places of the same size: 5 %;" in sentence((5, 1))  # those of the heads that look
    assert sentence((5, 1)).endswith("The other 2 were not found to look at it.")
    assert sentence((5, 0), (5, 1)).startswith(
        "L5.H0 and L5.H1 look at what the question asks about, which gets 40 % and 40 %"
    )
    assert sentence((5, 0), (5, 1)).endswith("The other one was not found to look at it.")
    assert sentence((5, 0), (5, 1), (5, 2)).startswith("On average they put 40 %")


def test_a_scorer_whose_heads_were_not_silenced_says_which_were(run_dir):
    run = read_run(run_dir)
    frame: pd.DataFrame = run.tables["negative"]
    run = replace(run, tables={**run.tables, "negative": frame[frame["scorer"] == "ablation"]})
    story = story_of(run, "paper")
    assert "only heads found by ablation were" in story.sentences[2].lower()
    assert not story.bars


def test_heads_that_stand_in_for_each_other_are_named_if_they_cost_more_than_random_ones(run_dir):
    run = read_run(run_dir)
    groups = run.tables["groups"]
    groups.loc[groups["part"] == "all", ["drop", "low", "high"]] = (0.34, 0.251, 0.43)
    fourth = story_of(run).sentences[3]
    assert fourth == (
        "4 heads do the same work in spatial perception and stand in for each other (L5.H0, L5.H1, L5.H2, L5.H3). Without any "
        "one of them, accuracy falls by at most 2 points. Without all of them, it falls by 34 points (95 % interval 25 to 43)."
    )
    for column, value in (("low", -0.01), ("beyond_low", -0.01), ("p", 0.2), ("p", float("nan"))):
        weak = groups.copy()
        weak.loc[weak["part"] == "all", column] = value
        assert len(story_of(replace(run, tables={**run.tables, "groups": weak})).sentences) == 3
