from headatlas.importing.chain import DECIDE, HIGH, LOW, MATH, SPATIAL, TEXT, Chain, whole


def test_a_chain_ends_in_its_decision():
    chain = Chain()
    chain.ask("What is named?", "the dog", TEXT, kind="named")
    chain.ask("Where is it?", "left", SPATIAL, HIGH, kind="where", options=("left", "right"))
    chain.ask("Where is it?", "right", SPATIAL, kind="again")  # the same text is asked once
    chain.ask("How many?", 3, MATH, kind="count", needs_image=False)
    chain.ask("Any?", True, HIGH, kind="any")
    steps = chain.end("no", "yes_no")
    assert [(s.answer, s.answer_type) for s in steps] == [
        ("the dog", "text"),
        ("left", "choice"),
        ("3", "number"),
        ("yes", "yes_no"),
        ("no", "yes_no"),
    ]
    assert [s.needs_image for s in steps] == [False, True, False, True, False]
    assert steps[-1].functions == (DECIDE,)


def test_a_long_chain_loses_what_is_optional_and_a_short_one_is_none():
    chain = Chain()
    for i in range(12):
        chain.ask(f"{i}?", i, MATH, kind="n", optional=i >= 6)
    assert [s.text for s in chain.end("1", "number")] == [
        *(f"{i}?" for i in range(8)),
        "So what is the answer to the question?",
    ]
    short = Chain()
    short.ask("a?", 1, MATH, kind="n")
    assert short.end("1", "number") == ()
    assert len(whole("left", "choice", SPATIAL, options=("left", "right"))) == 1


def test_an_end_that_must_look_again_says_so():
    chain = Chain()
    for i in range(3):
        chain.ask(f"{i}?", i, MATH, kind="n")
    seen = chain.end("red", "text", looks=(LOW,))[-1]
    assert (seen.functions, seen.needs_image) == ((LOW, DECIDE), True)
    unsure = chain.end("yes", "yes_no", suffices=False)[-1]
    assert (unsure.functions, unsure.needs_image) == ((DECIDE,), True)
