from functools import partial
from importlib import import_module

import pytest
import torch

from headatlas.heads import HeadSet, scale
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.generate import generate, generate_answers
from headatlas.vlm.read import spell

module = import_module("headatlas.vlm.generate")  # the package has a function of that name


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


def test_a_batch_is_kept_to_a_number_of_tokens_and_halved_where_it_does_not_fit(
    tiny_vlm, tiny_questions, monkeypatch, caplog
):
    chats = [conversation(question, upto=1 + i % 3) for i, question in enumerate(tiny_questions)]
    want = generate(tiny_vlm, chats, max_new_tokens=6)
    sizes, real = [], tiny_vlm.model.generate

    def small(**inputs):
        sizes.append(inputs["input_ids"].shape)
        if len(inputs["input_ids"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(**inputs)

    monkeypatch.setattr(tiny_vlm.model, "generate", small)
    assert generate(tiny_vlm, chats, max_new_tokens=6, batch_size=8) == want
    assert [rows for rows, _ in sizes] == [8, 4, 2, 2, 2, 2]
    assert "out of memory with 8 conversations in a batch: going on with 4" in caplog.text
    sizes.clear()
    longest = max(encode(tiny_vlm, [chat], generation_prompt=True).ids.shape[1] for chat in chats)
    monkeypatch.setattr(module, "in_batches", partial(module.in_batches, tokens=2 * (longest + 6)))
    assert generate(tiny_vlm, chats, max_new_tokens=6, batch_size=8) == want
    assert all(rows <= 3 and rows * (length + 6) <= 2 * (longest + 6) for rows, length in sizes)


def test_a_picture_of_several_conversations_is_seen_once(tiny_vlm, tiny_questions):
    steps = [conversation(q, upto=k) for q in tiny_questions[:3] for k in range(len(q.steps))]
    seen = []
    handle = tiny_vlm.model.model.vision_tower.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(len(kwargs.get("pixel_values", args[0] if args else ()))),
        with_kwargs=True,
    )
    try:
        generate(tiny_vlm, steps, max_new_tokens=2, batch_size=4)
    finally:
        handle.remove()
    assert sum(seen) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 5.0, "do_sample": True, "temperature": 3.0, "top_k": 3},
        {"no_repeat_ngram_size": 1, "encoder_no_repeat_ngram_size": 1},
        {"min_new_tokens": 6, "min_length": 99},
        {"max_length": 3, "max_time": 1e-9},
        {"stop_strings": ["e"]},
        {"cache_implementation": "static", "use_cache": False},
        {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.1, "diversity_penalty": 1.0},
        {
            "suppress_tokens": [i for i in range(5, 200) if i != 9],  # transformers refuses the forced one
            "begin_suppress_tokens": list(range(200, 300)),
            "forced_eos_token_id": 9,
        },
        {"bad_words_ids": [[i] for i in range(5, 200)], "sequence_bias": [[[201], -50.0]], "renormalize_logits": True},
        {"forced_bos_token_id": 7, "exponential_decay_length_penalty": (0, 9.0), "guidance_scale": 3.0},
        {"prompt_lookup_num_tokens": 2, "assistant_early_exit": 1},
        {"watermarking_config": {"greenlist_ratio": 0.01, "bias": 50.0}},
        {"output_scores": True, "output_attentions": False, "return_dict_in_generate": False, "token_healing": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_nothing_of_the_checkpoints_generation_settings_applies(tiny_vlm, tiny_questions, settings, monkeypatch):
    chats = [conversation(question, upto=1) for question in tiny_questions[:3]]
    want = generate(tiny_vlm, chats, max_new_tokens=6)
    own = tiny_vlm.model.generation_config
    own = type(own)(**{**own.to_dict(), **settings})
    monkeypatch.setattr(tiny_vlm.model, "generation_config", own)
    assert generate(tiny_vlm, chats, max_new_tokens=6) == want
    assert tiny_vlm.model.generation_config is own


def test_answers_that_do_not_end_are_marked(tiny_vlm, tiny_questions):
    chats = [conversation(question, upto=k) for question in tiny_questions for k in range(len(question.steps))]
    whole = generate_answers(tiny_vlm, chats, max_new_tokens=12)
    short = generate_answers(tiny_vlm, chats, max_new_tokens=1)
    assert any(answer.ended for answer in whole)
    n_tokens = [len(tiny_vlm.tokenizer(answer.text)["input_ids"]) for answer in whole]
    assert [answer.ended for answer in short] == [one.ended and n == 0 for one, n in zip(whole, n_tokens, strict=True)]


def test_settings_and_hooks_are_restored_after_an_interruption(tiny_vlm, tiny_questions, monkeypatch):
    own = tiny_vlm.model.generation_config

    def interrupted(**inputs):
        raise KeyboardInterrupt

    monkeypatch.setattr(tiny_vlm.model, "generate", interrupted)
    with tiny_vlm.edit(scale(tiny_vlm.heads.heads(), 0.5), scope="answer"), pytest.raises(KeyboardInterrupt):
        generate(tiny_vlm, [conversation(tiny_questions[0], upto=0)])
    assert tiny_vlm.model.generation_config is own
    assert not any(module._forward_pre_hooks for module in tiny_vlm.model.modules())
    assert not tiny_vlm.edited
