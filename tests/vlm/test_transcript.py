"""Prompts stay prefixes, also if a template rewrites earlier turns."""

import pytest

from headatlas.vlm.chat import Conversation, Turn
from headatlas.vlm.transcript import _tail, closing, transcripts

CHAT = Conversation((), (Turn("one?", "yes"), Turn("two?", "no")))
PLAIN = "{% for m in messages %}<|{{ m['role'] }}|>{% for p in m['content'] %}{{ p['text'] }}{% endfor %}"
OPEN = "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def write(vlm, monkeypatch, template, chat=CHAT, open_=False):
    monkeypatch.setattr(vlm.processor, "chat_template", template)
    texts, prompts = transcripts(vlm, [chat], open_)
    assert all(texts[0].startswith(prompt) for prompt in prompts[0])
    return texts[0], prompts[0]


def test_a_thought_that_history_drops_is_kept_at_every_answer(tiny_vlm, monkeypatch):
    template = (
        PLAIN
        + "<|end|>"
        + OPEN.replace(
            "<|assistant|>",
            "<|assistant|><think>{{ '' if enable_thinking is defined and not enable_thinking else 'hm' }}</think>",
        )
    )
    text, prompts = write(tiny_vlm, monkeypatch, template)
    thought = "<|assistant|><think></think>"
    assert text == f"<|user|>one?<|end|>{thought}yes<|end|><|user|>two?<|end|>{thought}no<|end|>"
    assert prompts == [
        f"<|user|>one?<|end|>{thought}",
        f"<|user|>one?<|end|>{thought}yes<|end|><|user|>two?<|end|>{thought}",
    ]


def test_an_open_conversation_ends_in_its_prompt(tiny_vlm, monkeypatch):
    chat = Conversation((), (Turn("one?", "yes"), Turn("two?")))
    template = PLAIN + "<|end|>" + OPEN.replace("<|assistant|>", "<|assistant|>\n\n")
    text, prompts = write(tiny_vlm, monkeypatch, template, chat, True)
    assert prompts[-1] == text
    assert text == "<|user|>one?<|end|><|assistant|>\n\nyes<|end|><|user|>two?<|end|><|assistant|>\n\n"


def test_the_end_that_only_a_further_turn_writes_is_added(tiny_vlm, monkeypatch):
    """As GLM's: a turn ends where the next one begins."""
    monkeypatch.setattr(type(tiny_vlm), "end_tokens", ("<|user|>",))
    text, _ = write(tiny_vlm, monkeypatch, PLAIN + OPEN)
    assert text == "<|user|>one?<|assistant|>yes<|user|>two?<|assistant|>no<|user|>"
    assert closing(tiny_vlm) == "<|user|>"


def test_no_end_is_invented(tiny_vlm, monkeypatch):
    text, _ = write(tiny_vlm, monkeypatch, PLAIN + " " + OPEN)
    assert text.endswith("no ")


@pytest.mark.parametrize(
    ("after", "behind"),
    [("a:yes.", "yes."), ("a yes.", "yes."), ("b:yes", None), ("a:\nyes", "\nyes")],
)
def test_what_stands_tail_a_prompt(after, behind):
    assert _tail("a:", after, "yes") == behind
