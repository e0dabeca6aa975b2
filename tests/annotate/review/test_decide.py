import pytest

from headatlas.annotate.review import Change, Rule, decide
from headatlas.annotate.review.decide import decide_whole, fault_of
from headatlas.annotate.review.votes import WHOLE
from headatlas.errors import HeadAtlasError

RULE = Rule(min_votes=2)
MENDED = Change(text="In which half is the dog?", answer="left", answer_type="choice", options=("left", "right"))


@pytest.fixture
def step(data):
    return data[0].steps[0]


def cast(vote, *verdicts, **fields):
    return [vote(who=f"p{i}", verdict=verdict, **fields) for i, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ((), "open"),
        (("accept",), "open"),
        (("accept", ""), "open"),
        (("accept", "accept"), "kept"),
        (("reject", "reject"), "dropped"),
        (("accept", "reject"), "undecided"),
        (("accept", "accept", "reject"), "kept"),
        (("reject", "reject", "accept"), "dropped"),
        (("accept", "accept", "accept", "reject", "reject"), "kept"),  # 3 of 5 are exactly 60 %
        (("accept", "accept", "reject", "reject"), "undecided"),
        (("reject", "reject", "reject", "accept", "accept"), "dropped"),
    ],
)
def test_sixty_per_cent(step, vote, verdicts, state):
    decision = decide(step, cast(vote, *verdicts), RULE)
    assert decision.state == state
    assert decision.step == (step if state == "kept" else None)


def test_a_wording_needs_sixty_per_cent_of_those_who_keep_the_step(step, vote):
    fixes = [*(vote(who=name, verdict="fix", change=MENDED) for name in "ab"), vote(who="c")]
    decision = decide(step, fixes, RULE)
    assert decision.step is not None
    assert (decision.step.text, decision.step.options) == (MENDED.text, MENDED.options)
    other = MENDED.model_copy(update={"text": "Another wording?"})
    decision = decide(step, [*fixes[:1], vote(who="b", verdict="fix", change=other)], RULE)
    assert (decision.state, decision.why) == ("undecided", "2 wordings, none wanted by 60%")


def test_functions_are_multi_label_and_the_primary_is_the_one_most_often_first(step, vote):
    votes = [
        vote(who="a", functions=("relational_reasoning", "spatial_perception")),
        vote(who="b", functions=("spatial_perception", "relational_reasoning", "math_reasoning")),
        vote(who="c", functions=("relational_reasoning",)),
    ]
    decision = decide(step, votes, RULE)
    assert decision.step is not None
    assert decision.step.functions == ("relational_reasoning", "spatial_perception")
    apart = [vote(who="a", functions=("math_reasoning",)), vote(who="b", functions=("knowledge_recall",))]
    assert decide(step, apart, RULE).why == "no function marked by 60%"


def test_the_adjudicator_has_the_last_word(step, vote):
    votes = cast(vote, "accept", "reject")
    for word, state in (
        (vote(who="z", role="adjudicator", verdict="reject"), "dropped"),
        (vote(who="z", role="adjudicator", verdict="fix", change=MENDED), "kept"),
        (vote(who="z", role="adjudicator", verdict=""), "undecided"),
    ):
        decision = decide(step, [*votes, word], RULE)
        assert decision.state == state
    assert decide(step, [vote(who="z", role="adjudicator")], RULE).state == "kept"


def test_a_whole_question_is_dropped_by_those_who_voted_on_it(vote):
    def against(*names):
        return [vote(who=name, step=WHOLE, verdict="reject") for name in names]

    steps = [vote(who="a"), vote(who="b"), vote(who="c")]
    assert decide_whole(steps, RULE) is None
    assert decide_whole([*steps, *against("a")], RULE) is None  # 1 of 3
    assert decide_whole([*steps[:2], *against("a")], RULE).state == "undecided"
    assert decide_whole([*steps, *against("a", "b")], RULE).state == "dropped"
    assert decide_whole(against("a"), RULE).state == "open"
    word = vote(who="z", role="adjudicator", step=WHOLE, verdict="reject")
    assert decide_whole([*steps, word], RULE).state == "dropped"
    taken_back = vote(who="z", role="adjudicator", step=WHOLE, verdict="")
    assert decide_whole([*steps, *against("a", "b"), taken_back], RULE) is None


@pytest.mark.parametrize(
    ("change", "step", "fault"),
    [
        ({}, 0, ""),
        ({"answer": "up"}, 0, "must be one of the options"),
        ({"options": ("left", "left")}, 0, "options must be different"),
        ({"answer": "many", "answer_type": "number", "options": ()}, 1, "must be a number"),
        ({"answer": "3", "answer_type": "number", "options": ()}, 1, ""),
        ({"answer": "maybe", "answer_type": "yes_no", "options": ()}, 1, "must be yes or no"),
        ({"answer": "unknown", "answer_type": "text", "options": ()}, 1, "no words that a reply could match"),
        ({"answer": "yes", "answer_type": "yes_no", "options": ()}, 2, ""),
        (
            {"answer": "no", "answer_type": "yes_no", "options": ()},
            2,
            "the last step's answer is the question's answer",
        ),
    ],
)
def test_what_cannot_be_a_step_is_told(data, change, step, fault):
    said = fault_of(MENDED.model_copy(update=change), data[0], step)
    assert fault in said
    assert bool(fault) == bool(said)


@pytest.mark.parametrize("wrong", [{"share": 0.5}, {"share": 1.1}, {"min_votes": 0}])
def test_rules_that_cannot_be_meant(wrong):
    with pytest.raises(HeadAtlasError):
        Rule(**wrong)
