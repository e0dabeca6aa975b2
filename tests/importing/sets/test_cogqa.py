RECORD = {
    "question": "Tom has 3 pens and buys 4.\\nHow many has he?\nOptions:\n- 7\n- 8",
    "answer": "He has 3 and buys 4, which makes 7.",
    "generated": [
        {"subquestion": "How many pens has Tom at first?", "answer": 3, "cognitive_skill": "Retrieval"},
        {"subquestion": "Am I sure?", "answer": "yes", "cognitive_skill": "Self-Evaluation"},
        {"subquestion": "What follows?", "answer": "he has more", "cognitive_skill": "Logical Reasoning"},
        {"subquestion": "How many is 3 + 4?", "answer": 7.0, "cognitive_skill": "Math Calculation"},
    ],
}


def step(skill: str, answer: object = "yes") -> dict:
    return {"subquestion": "Is it?", "answer": answer, "cognitive_skill": skill}


def test_skills_become_functions_and_stray_ones_go(read, table):
    (draft,), left = read("cogqa", table([RECORD]))
    assert not left
    assert draft.text == "Tom has 3 pens and buys 4.\nHow many has he?\nOptions:\n- 7\n- 8"
    assert draft.options == ("7", "8")
    assert [s.function for s in draft.steps] == ["information_extraction", "decision_making", "math_reasoning"]
    assert [(s.answer, s.answer_type) for s in draft.steps] == [
        ("3", "number"),
        ("he has more", "text"),
        ("7", "number"),
    ]
    assert draft.answer == "7"
    assert draft.pictures == ()
    assert not any(s.needs_image for s in draft.steps)


def test_what_does_not_end_in_an_answer_is_listed(read, table):
    rows = [
        {"question": "a?", "generated": [step("Retrieval"), step("Telepathy")]},
        {"question": "b?", "generated": [step("Retrieval", None)]},
        {"question": "c?", "generated": []},
        {"question": "d?"},
    ]
    drafts, left = read("cogqa", table(rows))
    assert not drafts
    reasons = ["its last step has no known skill", "a step without text or answer", "its last step", "field generated"]
    for one, reason in zip(left, reasons, strict=True):
        assert one.reason.startswith(reason)


def test_cogvision_names_an_image(read, table):
    row = {"question": "Is it red?", "image": "a.png", "generated": [step("Low-Level Vision Reception", "Yes.")]}
    (draft,), _ = read("cogqa", table([row]))
    assert draft.pictures[0].name == "a.png"
    assert (draft.answer, draft.answer_type) == ("yes", "yes_no")
    assert draft.steps[0].functions == ("low_level_perception",)
    assert draft.steps[0].needs_image
