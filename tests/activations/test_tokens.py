import pytest

from headatlas.activations.tokens import TOKENS, check_tokens
from headatlas.errors import HeadAtlasError
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_selection_is_the_tokens_it_says(tiny_vlm, tiny_questions, side):
    questions = tiny_questions[:3]
    batch = encode(tiny_vlm, [conversation(question) for question in questions], side=side)
    decode = tiny_vlm.tokenizer.decode
    for row, question in enumerate(questions):
        for turn, step in enumerate(question.steps):
            ids = {name: batch.ids[row, slice(*run(batch, row, turn))].tolist() for name, run in TOKENS.items()}
            assert decode(ids["gold"]) == step.answer
            assert ids["predict"][1:] == ids["gold"]
            assert decode(ids["predict"][:1]) == decode(ids["last"]) == "<|assistant|>"
            assert ids["first"] == ids["gold"][:1]
            whole = decode(ids["all"])
            assert whole.endswith(f"{step.text}<|end|>\n<|assistant|>{step.answer}<|end|>")
            assert whole.count("<|assistant|>") == 1
            assert (question.text in whole) == (turn == 0)


def test_names_are_checked():
    assert check_tokens("gold") == ("gold",)
    assert check_tokens(("last", "all")) == ("last", "all")
    for wrong in ("middle", ("gold", "middle")):
        with pytest.raises(HeadAtlasError, match=r"token selection.*'middle'"):
            check_tokens(wrong)
    for wrong in ((), ("gold", "gold")):
        with pytest.raises(HeadAtlasError, match=r"tokens must be one or more different selections, got \("):
            check_tokens(wrong)
