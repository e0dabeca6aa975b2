import pytest

from headatlas.annotate.decompose.checks import check_chain, content_words, leaks, same_question
from headatlas.cogvsr import Question, Step


def steps(*pairs, kind="text"):
    return [
        Step(text=t, answer=a, answer_type=k[0] if k else kind, functions=("spatial_perception",)) for t, a, *k in pairs
    ]


def main(text="Is the dog left of the cat?", answer="yes", kind="yes_no", options=()):
    last = Step(text="So?", answer=answer, answer_type=kind, functions=("decision_making",), options=options)
    return Question(
        id="q", source="s", split="E", text=text, answer=answer, answer_type=kind, options=options, steps=(last,)
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Where is the dog?", "Where's the dog in the image?", True),
        ("Where is the dog?", "Can you tell me where the dog is shown?", False),  # order of content words differs
        ("Is the dog left of the cat?", "Is the cat left of the dog?", False),
        ("How many dogs are there?", "How many dog can be seen in this picture?", True),
        ("Which dog is nearer?", "Which dog is farther?", False),
        ("What is in the third row?", "What is in the fourth row?", False),
        ("", "", False),
        ("is the", "are there", False),
    ],
)
def test_same_question(one, other, same):
    assert same_question(one, other) is same
    assert same_question(other, one) is same


def test_content_words():
    assert content_words("Where's the dog in the image?") == ["where", "dog"]
    assert content_words("How many dogs are there on the photo?") == ["how", "many", "dog"]


def test_a_good_chain_is_left_as_it_is():
    chain = steps(("Where is the dog?", "left"), ("Where is the cat?", "right"), ("So, is it left?", "yes", "yes_no"))
    checked = check_chain(chain, main())
    assert (checked.steps, checked.faults, checked.dropped) == (tuple(chain), (), ())


def test_repeats_are_dropped_and_told():
    chain = steps(
        ("Where is the dog?", "left"),
        ("Where's the dog in the image?", "Left"),
        ("In which row is the cat?", "2"),
        ("Which row is the cat in?", "2"),
        ("So, is it left?", "yes", "yes_no"),
    )
    checked = check_chain(chain, main())
    assert [s.text for s in checked.steps] == ["Where is the dog?", "In which row is the cat?", "So, is it left?"]
    assert not checked.faults
    assert len(checked.dropped) == 2
    assert "step 2 repeats step 1" in checked.dropped[0]


def test_a_repeat_of_the_last_step_gives_way_to_it():
    chain = steps(
        ("Where is the dog?", "left"), ("Is the dog left of the cat?", "yes"), ("Is the dog left of the cat?", "yes")
    )
    checked = check_chain(chain, main())
    assert [s.text for s in checked.steps] == ["Where is the dog?", "Is the dog left of the cat?"]
    assert not checked.faults


def test_words_in_another_order_are_another_yes_no_question():
    chain = steps(
        ("Is the dog above the cat?", "no", "yes_no"), ("Is the cat above the dog?", "no", "yes_no"), ("So?!", "yes")
    )
    assert not check_chain(chain, main()).dropped


def test_a_repeat_with_another_answer_is_a_fault():
    chain = steps(("Where is the dog?", "left"), ("Where is the dog?", "right"), ("So, is it left?", "yes"))
    assert "steps 1 and 2 ask the same" in check_chain(chain, main()).faults[0]


def test_the_main_question_may_only_come_last():
    chain = steps(("Where is the dog?", "left"), ("Is the dog left of the cat?", "yes"), ("So, what is it?", "yes"))
    assert check_chain(chain, main()).faults == ("step 2 asks the main question itself, before the last step",)


@pytest.mark.parametrize(("count", "faulty"), [(1, True), (2, False), (3, False), (4, True)])
def test_too_few_and_too_many(count, faulty):
    chain = steps(*((f"Where is thing {i}?", "left") for i in range(count)))
    assert bool(check_chain(chain, main(), least=2, most=3).faults) is faulty


COLORS = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("question", "early", "leaking"),
    [
        (main("What colour is the car?", "red", "choice", COLORS), ["Where is the red car?"], [0]),
        (main("What colour is the car?", "red", "choice", COLORS), ["Where is the car?", "Is it Red?"], [1]),
        (main("What colour is the car?", "red", "choice", COLORS), ["Is it red?", "Is it blue?"], []),
        (main("What colour is the car?", "red", "text"), ["Where is the red car?"], [0]),
        (main("What colour is the car?", "red", "text"), ["Where is the car?", "Is it covered?"], []),
        (main("Is it left or right?", "left", "choice", ("left", "right")), ["Is the dog on the left?"], [0]),
        (main("Is it left or right?", "left", "choice", ("left", "right")), ["Which side, left or right?"], []),
        (
            main("Which is nearer, dog or cat?", "dog", "choice", ("dog", "cat")),
            ["How far is the dog?", "And the cat?"],
            [],
        ),
        (
            main("How many dogs stand left of the car?", "2", "number"),
            ["Which dogs are there?", "Are the two left?"],
            [1],
        ),
        (main("In which row is the row of dogs?", "row", "text"), ["Which row?"], []),
        (main(), ["Is the cat big, yes?"], []),
        (main(), ["Where is the dog?", "Given that the answer is yes, where is the cat?"], [1]),
        (main("What is it?", "(a)", "text"), ["Is the answer: (a)?"], [0]),
    ],
)
def test_leaks(question, early, leaking):
    assert leaks([*early, f"So what is it, {question.answer}?"], question) == leaking
