"""`Form`: how a reference VLM's family writes a conversation, from its special tokens to the text around every turn.

The chat template, the tokenizer's special tokens and the training rows are all derived from one `Form`, so that they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Form:
    """A conversation is `opening`, then turns: `user`, picture (the first one), text, `assistant`, answer, `end`, `after`.

    Attributes:
        specials: the special tokens, in the order of their ids.
        user, assistant: the text before a turn of the user, and of the model.
        end: the token that ends an answer, which the model learns; `after` follows it and is not learned.
        closes_user: whether the user's turn ends in `end` and `after` too.
        image: the token that stands for one cell of the board.
        picture: text that the processor puts before and after the picture's image tokens.
        placeholder: text that the chat template writes for a picture; the processor expands it.
        opening: text at the start of every conversation.
        bos: the beginning-of-text token, if `opening` is one.
        named: special tokens by the attribute of the tokenizer from which the family's processor reads them.
    """

    specials: tuple[str, ...]
    user: str
    assistant: str
    end: str
    pad: str
    image: str
    picture: tuple[str, str]
    placeholder: str
    after: str = ""
    closes_user: bool = False
    opening: str = ""
    bos: str | None = None
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def close(self) -> str:
        """The text after the user's text."""
        return self.end + self.after if self.closes_user else ""

    @property
    def plain(self) -> str:
        """The words of the chat form, such as "user", without the special tokens."""
        text = f"{self.opening} {self.user} {self.assistant} {self.after} {''.join(self.picture)}"
        for token in self.specials:
            text = text.replace(token, " ")
        return text

    @property
    def template(self) -> str:
        """The chat template (Jinja, over Hugging Face messages). No part of a turn depends on later turns."""
        start = f"{{{{ '{self.opening}' }}}}" if self.opening else ""
        done = f"'{self.end}{self.after}'"
        return (
            f"{start}{{% for message in messages %}}"
            f"{{{{ '{self.user}' if message['role'] == 'user' else '{self.assistant}' }}}}"
            "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
            f"{{% for part in message['content'] %}}{{{{ '{self.placeholder}' if part['type'] == 'image' else part['text'] }}}}"
            "{% endfor %}{% endif %}"
            + (
                f"{{{{ {done} }}}}"
                if self.closes_user
                else f"{{{{ {done} if message['role'] == 'assistant' else '' }}}}"
            )
            + f"{{% endfor %}}{{{{ '{self.assistant}' if add_generation_prompt else '' }}}}"
        )

    @property
    def example(self) -> str:
        """A conversation of two steps for the model card, line breaks written as `\\n`."""
        first = f"{self.opening}{self.user}{self.placeholder}{{question}}\n{{first step}}{self.close}{self.assistant}"
        return (
            f"{first}{{answer}}{self.end}{self.after}{self.user}{{next step}}{self.close}{self.assistant}...".replace(
                "\n", "\\n"
            )
        )
