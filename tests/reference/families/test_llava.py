from PIL import Image
from transformers import AutoTokenizer

from headatlas.reference import path
from headatlas.reference.build import build_tokenizer
from headatlas.reference.families import FAMILIES
from headatlas.scenes.build import symbolic
from headatlas.vlm.chat import conversation, messages


def test_what_is_shipped_reads_as_what_is_built():
    """The shipped model's template and tokens are those of the code, text by text."""
    llava = FAMILIES["llava"]
    folder = path("ref-llava")
    assert (folder / "chat_template.jinja").read_text() == llava.form.template
    shipped = AutoTokenizer.from_pretrained(folder)
    # Its own words: phrases that came later are spelled in bytes.
    known = sorted(shipped.get_vocab().items(), key=lambda item: item[1])
    words = [token[1:] for token, number in known if token[0] == "Ġ" and number >= 261 and token != "ĠĊ"]
    built = build_tokenizer(words, llava.form)
    assert shipped.get_vocab() == built.get_vocab()
    for made in symbolic(20, "E", 5):
        chat = messages(conversation(made.question, images=(Image.new("RGB", (8, 8)),)))
        text = shipped.apply_chat_template(chat, chat_template=llava.form.template, tokenize=False)
        assert shipped(text)["input_ids"] == built(text)["input_ids"]
