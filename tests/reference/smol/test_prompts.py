import re

from headatlas.reference.smol.prompts import HELD_OUT_PROMPTS, TRAIN_PROMPTS


def _words(prompt):
    return re.findall(r"\w+", prompt.lower())


def test_there_are_enough_prompts_and_none_twice():
    assert 450 <= len(TRAIN_PROMPTS) <= 600
    assert len(HELD_OUT_PROMPTS) == 40
    normal = [" ".join(_words(prompt)) for prompt in TRAIN_PROMPTS + HELD_OUT_PROMPTS]
    assert len(set(normal)) == len(normal)


def test_prompts_are_clean_text_without_pictures():
    for prompt in TRAIN_PROMPTS + HELD_OUT_PROMPTS:
        assert prompt == " ".join(prompt.split())
        assert prompt[0].isupper() or prompt[0].isdigit(), prompt
        assert not {"{", "}", "<", ">", "|"} & set(prompt), prompt
        assert not {"picture", "image", "photo", "drawing"} & set(_words(prompt)), prompt


def test_held_out_prompts_have_other_forms_and_topics():
    forms = {tuple(_words(prompt)[:3]) for prompt in TRAIN_PROMPTS}
    topics = {word for prompt in TRAIN_PROMPTS for word in _words(prompt) if len(word) >= 6}
    for prompt in HELD_OUT_PROMPTS:
        assert tuple(_words(prompt)[:3]) not in forms, prompt
        assert not topics & set(_words(prompt)), prompt
