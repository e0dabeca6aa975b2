"""Drafts of questions from sets without steps: their only step is the question itself, to be decomposed later."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headatlas.importing.chain import whole
from headatlas.importing.choices import Asked
from headatlas.importing.draft import Draft, Picture


def single(
    key: str,
    question: Asked,
    pictures: Sequence[Picture],
    functions: Sequence[str],
    family: str = "",
    group: str = "",
) -> Draft:
    """A draft with one step; `functions` are those that questions of this kind need, the primary one first."""
    return Draft(
        key=key,
        text=question.text,
        answer=question.answer,
        answer_type=question.answer_type,
        steps=whole(question.answer, question.answer_type, *functions, options=question.options),
        pictures=tuple(pictures),
        options=question.options,
        family=family,
        group=group,
    )


def statement(text: str) -> str:
    """The question whether a statement about a picture is true."""
    return f'Is this statement true of the picture? "{text.strip()}"'


def mark(text: str) -> str:
    """Eight hex digits of a text's digest, for use in a key."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
