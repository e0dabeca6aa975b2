"""First tokens of valid answers: all gold answers to steps of the same type, as written in the conversation."""

from headatlas.scoring.valid_answers import valid_tokens
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversations


def test_answers_of_one_type_share_their_tokens(tiny_vlm, tiny_questions):
    chats = conversations(tiny_questions)
    made = valid_tokens(tiny_vlm, tiny_questions, chats)
    steps = [step for question in tiny_questions for step in question.steps]
    assert len(made) == len(steps)
    first = [encode(tiny_vlm, [chat]) for chat in chats]
    gold = [int(batch.ids[0, start]) for batch in first for start, _ in batch.spans[0]]
    assert all(token in tokens for token, tokens in zip(gold, made, strict=True))
    yes_no = {i for i, step in enumerate(steps) if step.answer_type == "yes_no"}
    assert len({made[i] for i in yes_no}) == 1
    assert next(made[i] for i in yes_no) == {gold[i] for i in yes_no}
