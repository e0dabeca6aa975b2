"""`explain`: the effect of every head on the answer to one question about one picture."""

from __future__ import annotations

import numpy as np

from headatlas.errors import HeadAtlasError
from headatlas.explaining.alternatives import Alternative, alternatives, probabilities
from headatlas.explaining.effects import head_effects
from headatlas.explaining.explanation import Explanation
from headatlas.explaining.groups import find_groups
from headatlas.heads import HeadSet
from headatlas.heads.address import Heads
from headatlas.intervention.operations import Means
from headatlas.pictures import open_picture
from headatlas.progress import Progress
from headatlas.vlm.attention import AttentionMap, attention_map
from headatlas.vlm.chat import Conversation, Turn
from headatlas.vlm.generate import generate_answers
from headatlas.vlm.model import VLM, Picture

MOST_CANDIDATES = 128
"""The most heads that the search for groups tries."""


def explain(
    vlm: VLM,
    image: Picture,
    question: str,
    answer: str | None = None,
    *,
    heads: Heads | None = None,
    groups: bool = True,
    n_alternatives: int = 4,
    means: Means | None = None,
    max_new_tokens: int = 16,
    progress: Progress | None = None,
) -> Explanation:
    """Which heads carry the model's answer to one question about one picture.

    Every head is removed alone and the exact change of the answer's probability is computed. Then heads are removed together, to
    find redundant ones. All of this shares one bare pass (`headatlas.engine`).

    Args:
        vlm: the model, without active edits.
        image: a PIL image, the path of one, an array [height, width, 3] of uint8, or None for no picture.
        question: the user's words.
        answer: the answer to explain; None: the one that the model gives.
        heads: heads to remove; None: all heads of the language model and its cross-attention.
        groups: look for heads that matter together. Several times as many passes as the single effects.
        n_alternatives: number of other answers whose probability is computed, too.
        means: mean z `[L, H, D]` (`intervention.mean_z`) put in the place of removed heads; None: z = 0.
        max_new_tokens: largest number of tokens of an answer.
        progress: called as `progress(what, done, total)`.

    Raises:
        HeadAtlasError: an empty question or answer, active edits, an empty answer of the model and no `answer`, or a picture or
            text that cannot be read.
    """
    if not question.strip():
        raise HeadAtlasError("question must be a text, got an empty one")
    # A copy, because the explanation uses the picture later and the caller may change it.
    images = () if image is None else (open_picture(image).copy(),)
    return explain_chat(
        vlm,
        Conversation(images, (Turn(question),)),
        answer,
        heads=heads,
        groups=groups,
        n_alternatives=n_alternatives,
        means=means,
        max_new_tokens=max_new_tokens,
        progress=progress,
    )


def explain_chat(
    vlm: VLM,
    chat: Conversation,
    answer: str | None = None,
    *,
    heads: Heads | None = None,
    groups: bool = True,
    n_alternatives: int = 4,
    means: Means | None = None,
    max_new_tokens: int = 16,
    progress: Progress | None = None,
) -> Explanation:
    """`explain` for the open last turn of a conversation, such as a step of a question with the steps before it."""
    if vlm.edited:
        raise HeadAtlasError("explain edits the model itself: call it outside vlm.edit(...)")
    if answer is not None and not answer.strip():
        raise HeadAtlasError("answer must be a text, got an empty one")
    chosen = default_heads(vlm) if heads is None else HeadSet(heads)
    answered = generate_answers(vlm, [chat], max_new_tokens)[0].text
    options = possible_answers(vlm, chat, answered, answer, n_alternatives, max_new_tokens)
    explained = answer.strip() if answer is not None else answered
    effects = head_effects(vlm, chat, [one.text for one in options], answered, chosen, means, max_new_tokens, progress)
    seen, why = _attention(vlm, chat, chosen)
    joint = None
    if groups:
        candidates = _candidates(effects.effect, seen, chosen)
        joint = find_groups(vlm, chat, effects, candidates, means=means, progress=progress)
    return Explanation(vlm, chat, explained, answered, options, effects, joint, seen, why, means)


def possible_answers(
    vlm: VLM, chat: Conversation, said: str, answer: str | None, n: int, max_new_tokens: int
) -> list[Alternative]:
    """The explained answer first, then the others that the model may give, the most probable first.

    Raises `HeadAtlasError` where there is nothing to explain, or an answer cannot be read back.
    """
    wanted = said if answer is None else answer.strip()
    if not wanted or not said:
        raise HeadAtlasError(
            "the model gives an empty answer: reword the question, or give the answer to explain with answer="
        )
    others = [one for one in alternatives(vlm, chat, n, max_new_tokens) if one.text not in (wanted, said)]
    first = probabilities(vlm, chat, list(dict.fromkeys([wanted, said])))
    if not first or first[0].text != wanted or said not in [one.text for one in first]:
        raise HeadAtlasError(f"the answer {wanted!r} cannot be read by {vlm.family}: give plain words as the answer")
    return [first[0], *sorted([*first[1:], *others], key=lambda one: -one.logprob)]


def default_heads(vlm: VLM) -> HeadSet:
    """All heads of the language model and of its cross-attention."""
    return HeadSet([*vlm.heads.heads("L"), *(vlm.heads.heads("X") if vlm.heads.tower("X") else ())])


def _attention(vlm: VLM, chat: Conversation, heads: HeadSet) -> tuple[AttentionMap | None, str]:
    """Attention of the heads that have a row in the text, or the reason why it cannot be read."""
    readable = HeadSet(head for head in heads if head.tower == "L")
    try:
        if not readable:
            return None, "attention maps are those of the language model (L), and none of its heads was asked for"
        return attention_map(vlm, chat, readable), ""
    except HeadAtlasError as error:
        return None, str(error)


def _candidates(effect: np.ndarray, seen: AttentionMap | None, heads: HeadSet) -> HeadSet:
    """Heads to search for groups: all, or of a large model those with the largest effects and those that look at the picture
    most, half of each."""
    if len(heads) <= MOST_CANDIDATES:
        return heads
    by_effect = [heads[int(i)] for i in np.argsort(-np.abs(effect), kind="stable")]
    by_gaze = [] if seen is None else [seen.heads[int(i)] for i in np.argsort(-seen.image_mass(), kind="stable")]
    half = MOST_CANDIDATES // 2
    return HeadSet([*by_effect[:half], *by_gaze[:half], *by_effect[half:]])[:MOST_CANDIDATES]
