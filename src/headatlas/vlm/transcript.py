"""Write the text of a conversation so that the prompt of each of its turns is a prefix of it.

Some templates write a turn differently once later turns follow: they drop the empty thought that opens an answer (Qwen3.5),
or write another blank after the role (LLaVA-OneVision). One pass over a whole conversation equals step after step only if
nothing is rewritten. For these templates the conversation is assembled from the template's own prompts: each prompt as the
model gets it, the answer, and what the template writes after the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headatlas.errors import HeadAtlasError
from headatlas.vlm.chat import Conversation, Turn, messages, render

if TYPE_CHECKING:
    from headatlas.vlm.loaded import LoadedModel


def transcripts(
    vlm: LoadedModel, conversations: Sequence[Conversation], generation_prompt: bool
) -> tuple[list[str], list[list[str]]]:
    """The text of every conversation, images as placeholders, and the prompt of each of its turns, a prefix of that text.

    An end of turn that the template writes after the last answer only if another turn follows is added.

    Raises:
        HeadAtlasError: the template writes a turn differently once later turns follow, in more than the answer's opening.
    """
    texts = render(vlm.processor, [messages(chat) for chat in conversations], generation_prompt)
    openings = [messages(chat, turn + 1, open_last=True) for chat in conversations for turn in range(len(chat.turns))]
    rendered = iter(render(vlm.processor, openings, True))
    prompts = [[next(rendered) for _ in chat.turns] for chat in conversations]
    for row, chat in enumerate(conversations):
        if not all(texts[row].startswith(prompt) for prompt in prompts[row]):
            texts[row], prompts[row] = _joined(vlm, chat, texts[row], prompts[row])
        if not chat.open:
            texts[row] += _missing_end(vlm, chat, texts[row], prompts[row][-1])
    return texts, prompts


def _joined(vlm: LoadedModel, chat: Conversation, whole: str, prompts: list[str]) -> tuple[str, list[str]]:
    joined = [prompts[0]]
    later = prompts[1:] if chat.open else [*prompts[1:], whole]
    for turn, after in enumerate(later):
        tail = _tail(prompts[turn], after, chat.turns[turn].answer or "")
        if tail is None:
            raise HeadAtlasError(
                f"{vlm.family}'s chat template writes turn {turn} differently once later turns follow: each prompt must be a "
                f"prefix of the conversation, got one that ends in {prompts[turn][-40:]!r}"
            )
        joined.append(joined[-1] + tail)
    return (joined[-1], joined if chat.open else joined[:-1])


def _tail(prompt: str, after: str, answer: str) -> str | None:
    """The text after `prompt` in `after`, which begins with the answer; None if the answer does not start there.

    Text that only the prompt has opens the answer, and the template drops it later.
    """
    if after.startswith(prompt):
        return after[len(prompt) :]
    shared = next((i for i, (a, b) in enumerate(zip(prompt, after, strict=False)) if a != b), len(after))
    rest = after[shared:].lstrip()
    return rest if rest.startswith(answer.strip()) else None


def _missing_end(vlm: LoadedModel, chat: Conversation, text: str, prompt: str) -> str:
    """The end-of-turn token that the template writes only if another turn follows (in GLM, that turn's own first token)."""
    answer = (chat.turns[-1].answer or "").strip()
    rest = text[len(prompt) :].lstrip()[len(answer) :].lstrip()
    return "" if rest.startswith(vlm.end_tokens) else closing(vlm)


def closing(vlm: LoadedModel) -> str:
    """The end-of-turn token with which the next turn begins, if the template ends turns in no other way; else nothing."""
    probe = Conversation((), (Turn("?", "!"), Turn("?")))
    chats = [messages(Conversation((), probe.turns[:1])), messages(probe)]
    one, two = (render(vlm.processor, [chat], more)[0] for chat, more in zip(chats, (False, True), strict=True))
    if not two.startswith(one):
        return ""
    return next((token for token in vlm.end_tokens if two.startswith(token, len(one))), "")
