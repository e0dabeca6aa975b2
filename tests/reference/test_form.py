import pytest
from PIL import Image

from headatlas.reference.families import FAMILIES
from headatlas.reference.form import Form
from headatlas.vlm.chat import Conversation, Turn, messages

PICTURE = (Image.new("RGB", (8, 8)),)
FORM = Form(
    specials=("<u>", "<e>", "<p>", "<i>"), user="<u>user\n", assistant="<u>model\n", end="<e>", after="\n", closes_user=True,
    pad="<p>", image="<i>", picture=("", "\n"), placeholder="<i>\n", opening="<p>",
)  # fmt: skip


def _write(form, chat, generation_prompt=False):
    from transformers.utils.chat_template_utils import render_jinja_template

    return render_jinja_template(
        [messages(chat)], chat_template=form.template, add_generation_prompt=generation_prompt
    )[0][0]


def test_template_writes_the_form():
    chat = Conversation(PICTURE, (Turn("a\nb", "c"), Turn("d")))
    assert _write(FORM, chat, True) == "<p><u>user\n<i>\na\nb<e>\n<u>model\nc<e>\n<u>user\nd<e>\n<u>model\n"


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_prompt_is_a_prefix_of_the_conversation(name):
    form = FAMILIES[name].form
    whole = _write(form, Conversation(PICTURE, (Turn("a", "b"), Turn("c", "d"))))
    assert whole.startswith(_write(form, Conversation(PICTURE, (Turn("a"),)), True))
    assert whole.startswith(_write(form, Conversation(PICTURE, (Turn("a", "b"), Turn("c"))), True))


def test_plain_words_are_those_outside_special_tokens():
    assert FORM.plain.split() == ["user", "model"]


def test_example_shows_two_steps():
    first = r"<p><u>user\n<i>\n{question}\n{first step}<e>\n<u>model\n"
    assert FORM.example == first + r"{answer}<e>\n<u>user\n{next step}<e>\n<u>model\n..."
