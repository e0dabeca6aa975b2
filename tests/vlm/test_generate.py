import pytest
import torch

from headatlas.heads import HeadSet, scale
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.generate import generate
from headatlas.vlm.read import spell


def uncached(vlm, chat, n=12):
    """Greedy decoding with the whole sequence run again for every token, one row, no padding."""
    batch = encode(vlm, [chat], generation_prompt=True)
    inputs = {name: value for name, value in batch.inputs.items() if name in ("input_ids", "pixel_values")}
    said = []
    for _ in range(n):
        with torch.inference_mode():
            token = int(vlm.model(**inputs, use_cache=False).logits[0, -1].argmax())
        if token in vlm.end_ids:
            break
        said.append(token)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], 1)
    return spell(vlm, said)


@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_cached_ragged_decoding_is_uncached_single_decoding(tiny_vlm, tiny_questions, factor):
    chats = [conversation(question, upto=1 + i % 3) for i, question in enumerate(tiny_questions)]
    with tiny_vlm.edit(scale(HeadSet(list(tiny_vlm.heads.heads())[:3]), factor)):
        batched = generate(tiny_vlm, chats, max_new_tokens=12, batch_size=5)
        assert batched == [uncached(tiny_vlm, chat) for chat in chats]


def test_it_stops_after_max_new_tokens(tiny_vlm, tiny_questions):
    chat = conversation(tiny_questions[0], upto=0)
    (text,) = generate(tiny_vlm, [chat], max_new_tokens=1)
    assert len(tiny_vlm.tokenizer(text)["input_ids"]) <= 1


def test_no_conversations_no_answers(tiny_vlm):
    assert generate(tiny_vlm, []) == []
