"""Generate the answer to every step of questions, in gold or own context; shared beginnings of prompts are read once.

Step k's prompt is that of step k-1 followed by an answer and a question. In own context steps are answered one after the
other, and each continues from the keys and values of the one before. In gold context all steps branch off one teacher-forced
pass, and only answers whose end this pass does not show are decoded. Edits with scope `answer` or `last` act on one step's
answer and must not affect the next step, so under them nothing is shared and every step is generated in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headatlas.vlm.batch import Batch, UnreadableError, encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at
from headatlas.vlm.generate import Answer, decode, generate_answers
from headatlas.vlm.prefix import Prefix, new_cache
from headatlas.vlm.read import Refused, in_batches, read, readouts_of, spell
from headatlas.vlm.vision import seeing

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

Chat = Callable[[int, int | None, Sequence[str] | None], Conversation]
"""`chat(question, upto, answers)` as `chat.conversation` makes it; `upto` None: all steps, `answers` None: the gold ones."""


def own_answers(
    vlm: VLM,
    chat: Chat,
    steps: Sequence[int],
    batch_size: int,
    max_new_tokens: int,
    refused: Refused | None = None,
) -> list[list[Answer]]:
    """The model's answer to every step, where each prompt contains its own earlier answers.

    Args:
        vlm: the model; its active edits apply.
        chat: makes the conversation about a question.
        steps: the number of steps of each question.
        batch_size: questions per forward pass.
        max_new_tokens: most tokens of an answer.
        refused: if given, questions whose conversation the processor refuses are skipped and added to it, index -> reason; they
            get an empty list.

    Raises:
        HeadAtlasError: a question is refused (named), unless `refused` is given; logits are not finite.
    """
    out: list[list[Answer]] = [[] for _ in steps]
    shared = not _separate(vlm)

    def work(rows: list[int], longest: Batch) -> None:
        answers: dict[int, list[Answer]] = {row: [] for row in rows}
        before: tuple[list[int], Prefix] | None = None
        for k in range(max(steps[row] for row in rows)):
            alive = [row for row in rows if steps[row] > k and row in answers]
            batch, alive = _encode_step(vlm, chat, k, alive, answers, refused)
            if batch is None:
                return
            past = None if before is None else (before[1], [before[0].index(row) for row in alive])
            decoded, prefix = decode(vlm, batch, alive, max_new_tokens, past, keep=shared)
            before = None if prefix is None else (alive, prefix)
            for row, one in zip(alive, decoded, strict=True):
                answers[row].append(Answer(spell(vlm, one.tokens), one.ended))
        for row, given in answers.items():
            out[row] = given

    with seeing(vlm):
        # The prompts' lengths are estimated with gold answers.
        longest = [chat(i, n - 1, None) for i, n in enumerate(steps)]
        in_batches(vlm, longest, batch_size, work, generation_prompt=True, room=max_new_tokens, refused=refused)
    return out


def _encode_step(
    vlm: VLM, chat: Chat, k: int, alive: list[int], answers: dict[int, list[Answer]], refused: Refused | None
) -> tuple[Batch | None, list[int]]:
    """Step k of the questions `alive`, and those that are left; a question with an answer that cannot be read is dropped."""
    while alive:
        chats = [chat(row, k, [answer.text for answer in answers[row]]) for row in alive]
        try:
            return encode(vlm, chats, generation_prompt=True), alive
        except UnreadableError as error:
            if refused is None:
                raise
            for i, reason in error.reasons.items():
                refused[alive[i]] = reason
                del answers[alive[i]]
            alive = [row for row in alive if row in answers]
    return None, alive


def gold_answers(
    vlm: VLM,
    chat: Chat,
    steps: Sequence[int],
    batch_size: int,
    max_new_tokens: int,
    refused: Refused | None = None,
) -> tuple[list[list[Answer]], list[list[float]]]:
    """The model's answer to every step after gold answers to the earlier ones, and the gold answers' log-probabilities (nats).

    Arguments and errors as in `own_answers`.
    """
    whole = [chat(i, None, None) for i in range(len(steps))]
    if _separate(vlm):
        return _gold_answers_one_by_one(vlm, chat, steps, batch_size, max_new_tokens, refused)
    out: list[list[Answer]] = [[] for _ in steps]
    logprobs: list[list[float]] = [[] for _ in steps]

    def work(rows: list[int], batch: Batch) -> None:
        cache = new_cache(vlm.model)
        logits = logits_at(vlm, batch, batch.predict_mask(), rows, cache=cache)
        require_finite(vlm, logits, batch, rows)
        readouts = readouts_of(vlm, batch, logits)
        answers = [[Answer(readout.text, True) for readout in row] for row in readouts]
        prefix = None if cache is None else Prefix(cache, batch.ids, _real(batch))
        # Sorted by step: prompts of the same step have similar lengths.
        undecided = sorted(
            (k, at)
            for at, row in enumerate(readouts)
            for k, readout in enumerate(row)
            if readout.stops is None or readout.stops >= max_new_tokens
        )
        for start in range(0, len(undecided), len(rows)):
            some = undecided[start : start + len(rows)]
            opened = encode(vlm, [chat(rows[at], k, None) for k, at in some], generation_prompt=True)
            past = None if prefix is None else (prefix, [at for _, at in some])
            decoded, _ = decode(vlm, opened, [rows[at] for _, at in some], max_new_tokens, past)
            for (k, at), one in zip(some, decoded, strict=True):
                answers[at][k] = Answer(spell(vlm, one.tokens), one.ended)
        for row, given, read_off in zip(rows, answers, readouts, strict=True):
            out[row], logprobs[row] = given, [readout.logprob for readout in read_off]

    with seeing(vlm):
        in_batches(vlm, whole, batch_size, work, room=max_new_tokens, refused=refused)
    return out, logprobs


def _gold_answers_one_by_one(
    vlm: VLM, chat: Chat, steps: Sequence[int], batch_size: int, max_new_tokens: int, refused: Refused | None
) -> tuple[list[list[Answer]], list[list[float]]]:
    """As `gold_answers`, every step generated in full."""
    unreadable: Refused | None = None if refused is None else {}
    readouts = read(vlm, [chat(i, None, None) for i in range(len(steps))], batch_size, refused=unreadable)
    kept = [i for i in range(len(steps)) if i not in (unreadable or {})]
    asked = [(i, k) for i in kept for k in range(steps[i])]
    answers = generate_answers(vlm, [chat(i, k, None) for i, k in asked], max_new_tokens, batch_size)
    if refused is not None:
        refused.update(unreadable or {})
    out: list[list[Answer]] = [[] for _ in steps]
    for (i, _), answer in zip(asked, answers, strict=True):
        out[i].append(answer)
    return out, [[readout.logprob for readout in row] for row in readouts]


def _separate(vlm: VLM) -> bool:
    """Whether an active edit treats a step's answer differently from the same answer in the prompts of later steps."""
    return any(key.split(":")[0] in ("answer", "last") for key in vlm.edits_key)


def _real(batch: Batch) -> tuple[tuple[int, int], ...]:
    return tuple((start, start + int(n)) for start, n in zip(batch.starts, batch.mask.sum(1), strict=True))
