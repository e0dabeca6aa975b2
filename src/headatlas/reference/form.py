"""How a family writes a conversation: its special tokens, what stands around a picture and around every turn.

Knows text only. The chat template, the tokenizer's special tokens and the rows that the training reads all follow from one
`Form`, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Form:
    """A conversation is `opening`, then turns: `user`, picture (the first one), text, `assistant`, answer, `end`, `after`.

    Attributes:
        specials: the special tokens, in the order of their numbers.
        user, assistant: what stands before what each of them says.
        end: the token that ends an answer, which the model learns to say; `after` follows it and is not learned.
        closes_user: the user's turn, too, ends in `end` and `after`.
        image: the token that stands for one cell of the board.
        picture: what the processor puts before and behind the picture's image tokens, up to the text.
        placeholder: what the chat template writes for a picture; the processor expands it.
        opening: what every conversation begins with.
        bos: the token for it, if it is the tokenizer's beginning of text.
        named: special tokens by the names that the family's processor asks the tokenizer for.
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
        """What stands behind the user's text."""
        return self.end + self.after if self.closes_user else ""

    @property
    def plain(self) -> str:
        """The words of the frame, such as "user", without the special tokens."""
        text = f"{self.opening} {self.user} {self.assistant} {self.after} {''.join(self.picture)}"
        for token in self.specials:
            text = text.replace(token, " ")
        return text

    @property
    def template(self) -> str:
        """The chat template (Jinja, over messages of Hugging Face's form). Nothing in a turn depends on later turns."""
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
        """A conversation of two steps, line ends written as `\\n`, for the model card."""
        first = f"{self.opening}{self.user}{self.placeholder}{{question}}\n{{first step}}{self.close}{self.assistant}"
        return (
            f"{first}{{answer}}{self.end}{self.after}{self.user}{{next step}}{self.close}{self.assistant}...".replace(
                "\n", "\\n"
            )
        )
