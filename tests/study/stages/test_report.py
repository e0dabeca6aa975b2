import pandas as pd

from headatlas.study.stages.report import choose_examples, kinds_of_change

STEPS = ("information_extraction", "spatial_perception", "decision_making")


def answers(**wrong: tuple[int, ...]) -> pd.DataFrame:
    """Answers to four questions of three steps each; `wrong` gives the steps that are wrong, by question."""
    rows = [
        {"question": q, "family": "ab"[i // 2], "function": function, "correct": k not in wrong.get(q, ())}
        for i, q in enumerate("pqrs")
        for k, function in enumerate(STEPS)
    ]
    return pd.DataFrame(rows)


def test_only_questions_whose_spatial_steps_alone_break_count_as_clean():
    kinds = kinds_of_change(answers(), answers(p=(1,), q=(1, 2), r=(0,)), answers())
    assert kinds["only_spatial"].to_dict() == {"p": True, "q": False, "r": False, "s": False}
    assert not kinds["random_changed"].any()


def test_a_question_that_the_random_heads_change_or_that_was_wrong_before_is_not_clean():
    kinds = kinds_of_change(answers(q=(0,)), answers(p=(1,), q=(0, 1)), answers(p=(2,), q=(0,)))
    assert kinds["only_spatial"].tolist() == [False] * 4
    assert kinds["random_changed"].to_dict() == {"p": True, "q": False, "r": False, "s": False}
    assert kinds_of_change(answers(), answers(p=(1,)), None)["only_spatial"]["p"]


def test_half_of_the_examples_are_clean_ones_of_different_types_and_the_rest_in_plain_order():
    after = answers(p=(1,), q=(1,), s=(1,))
    kinds = kinds_of_change(answers(), after, None)
    assert choose_examples(answers(), kinds, 4) == ["p", "s", "q", "r"]
    assert choose_examples(answers(), kinds, 2) == ["p", "q"]
    none = kinds_of_change(answers(), answers(), None)
    assert choose_examples(answers(), none, 3) == ["p", "q", "r"]
