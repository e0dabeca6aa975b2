"""Batches that are encoded once."""

import torch

from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.load import load_vlm


def same(a, b):
    return (
        a.inputs.keys() == b.inputs.keys()
        and all(torch.equal(value, b.inputs[name]) for name, value in a.inputs.items())
        and (a.spans, a.ends, a.starts, a.side, a.open, a.image_sizes, a.names)
        == (b.spans, b.ends, b.starts, b.side, b.open, b.image_sizes, b.names)
        and torch.equal(a.image_mask, b.image_mask)
    )


def test_a_batch_is_encoded_once_and_equals_a_new_one(tiny_vlm_dir, tiny_questions):
    vlm = load_vlm(tiny_vlm_dir)
    chats = [conversation(question) for question in tiny_questions[:4]]
    plain = encode(vlm, chats)
    with vlm.reading_again():
        first, again = encode(vlm, chats), encode(vlm, [conversation(question) for question in tiny_questions[:4]])
        assert (vlm.encodings.asked, vlm.encodings.made) == (2, 1)
        assert same(plain, first)
        assert same(plain, again)
        again.inputs["input_ids"].zero_()  # as some models write into their inputs
        again.image_mask.zero_()
        assert same(plain, encode(vlm, chats))
        first.inputs["pixel_values"].zero_()
        assert same(plain, encode(vlm, chats))
    assert vlm.encodings.made == 1


def test_other_words_pictures_sides_and_orders_are_other_batches(tiny_vlm_dir, tiny_questions):
    vlm = load_vlm(tiny_vlm_dir)
    one, two = tiny_questions[:2]
    drawn = one.images[0].copy()
    with vlm.reading_again():
        encode(vlm, [conversation(one), conversation(two)])
        other = [
            encode(vlm, [conversation(two), conversation(one)]),
            encode(vlm, [conversation(one), conversation(two)], side="left"),
            encode(vlm, [conversation(one, images=(drawn,)), conversation(two)]),
            encode(vlm, [conversation(one, preamble="Look closely."), conversation(two)]),
            encode(vlm, [conversation(one, upto=0), conversation(two, upto=0)], generation_prompt=True),
        ]
        assert vlm.encodings.made == 5  # a copy of a picture is the same picture
        drawn.paste((1, 2, 3), (0, 0, 9, 9))
        changed = encode(vlm, [conversation(one, images=(drawn,)), conversation(two)])
        assert vlm.encodings.made == 6
        assert not torch.equal(changed.inputs["pixel_values"], other[2].inputs["pixel_values"])


def test_another_template_between_two_uses_is_noticed(tiny_vlm_dir, tiny_questions):
    vlm = load_vlm(tiny_vlm_dir)
    chats = [conversation(tiny_questions[0])]
    with vlm.reading_again():
        before = encode(vlm, chats)
    vlm.processor.chat_template = vlm.processor.chat_template.replace("{% for", "Look.{% for", 1)
    with vlm.reading_again():
        after = encode(vlm, chats)
    assert vlm.encodings.made == 2
    assert before.ids.shape != after.ids.shape


def test_outside_the_context_nothing_is_kept(tiny_vlm_dir, tiny_questions):
    vlm = load_vlm(tiny_vlm_dir)
    encode(vlm, [conversation(tiny_questions[0])])
    assert (vlm.encodings.asked, vlm.encodings.made) == (0, 0)
