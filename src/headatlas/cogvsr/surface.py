"""Bag-of-words baselines: how well words alone predict a step's function and a question's answer.

If the words of a step reveal its function, a head that encodes the function may only encode the words; and a question whose
answer can be guessed from its words does not test vision. Both baselines are deterministic, fitted on one split and evaluated on
another. They return rows of `results/surface.csv`: what, group, accuracy and chance (0..1), low, high (95 %), n.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from headatlas import stats
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError

COLUMNS = ["what", "group", "accuracy", "chance", "low", "high", "n"]
_STEP_COLUMNS = ("text_of_step", "gold", "function", "scene")


def function_from_text(fit_steps: pd.DataFrame, test_steps: pd.DataFrame) -> pd.DataFrame:
    """Guess each step's primary function from its text and its answer.

    Args:
        fit_steps, test_steps: tables of steps (`CogVSR.steps()`): columns text_of_step, gold, function, scene.

    Returns:
        One row "all" (accuracy over steps; chance: always the commonest function), one "macro" (mean over functions; chance
        1 / number of functions), one per function (share of its steps that are recognised; chance: its share of the fit
        steps). Intervals are cluster bootstraps over scenes. `what` is "function_of_step".
    """
    for table in (fit_steps, test_steps):
        missing = [name for name in _STEP_COLUMNS if name not in table]
        if missing or table.empty:
            raise HeadAtlasError(
                f"steps must be a table as CogVSR.steps() returns it, got one without {', '.join(missing) or 'rows'}"
            )
    known = fit_steps["function"].to_numpy(str)
    guessed = _guess(_step_texts(fit_steps), known, _step_texts(test_steps))
    true, scenes = test_steps["function"].to_numpy(str), test_steps["scene"].to_numpy()
    right = (guessed == true).astype(float)
    common = Counter(known.tolist()).most_common(1)[0][0]
    present = [name for name in FUNCTIONS if (true == name).any()]

    rows = [_row("all", stats.cluster_bootstrap(right, scenes), float((true == common).mean()))]
    rows.append(_row("macro", stats.bootstrap_groups(right, true, scenes), 1 / len(present)))
    for name in present:
        mine = true == name
        rows.append(_row(name, stats.cluster_bootstrap(right[mine], scenes[mine]), float((known == name).mean())))
    return pd.DataFrame([("function_of_step", *row) for row in rows], columns=COLUMNS)


def answer_without_image(fit_questions: Iterable[Question], test_questions: Iterable[Question]) -> pd.DataFrame:
    """Guess each question's answer from its text and options (1- and 2-grams), separately for each question type.

    Where the options occur in the text and differ between questions (two things to compare), they are written as `optiona`,
    `optionb`, ... in order of their first mention, and the guess is one of these. This detects "the first one mentioned is the
    answer".

    Args:
        fit_questions, test_questions: questions, with or without images; `CogVSR.without_images()` is fastest.

    Returns:
        One row for each question type that is in both parts, in order of appearance, then "all". chance is the accuracy of
        always giving the most frequent answer (or position of the answer) of the test questions with the same options. Intervals
        are Wilson's. `what` is "answer_without_image".

    Raises:
        HeadAtlasError: the two parts have no question type in common.
    """
    fit, test = _by_family(fit_questions), _by_family(test_questions)
    families = [name for name in test if name in fit]
    if not families:
        raise HeadAtlasError("fit and test questions must have a question type (family) in common, got none")
    rows, hits, commonest, total = [], 0, 0, 0
    for name in families:
        both = [*fit[name], *test[name]]
        named = all(q.options and all(o.lower() in q.text.lower() for o in q.options) for q in both)
        named &= len({tuple(sorted(q.options)) for q in both}) > 1
        texts, golds = zip(*(_named(q) if named else _plain(q) for q in both), strict=True)
        cut = len(fit[name])
        guessed = _guess(texts[:cut], np.array(golds[:cut]), texts[cut:])
        true = np.array(golds[cut:])
        right = int((guessed == true).sum())
        often = _commonest(true.tolist(), [() if named else _possible(q) for q in test[name]])
        rows.append(_row(name, stats.wilson(right, len(true)), often / len(true)))
        hits, commonest, total = hits + right, commonest + often, total + len(true)
    rows.append(_row("all", stats.wilson(hits, total), commonest / total))
    return pd.DataFrame([("answer_without_image", *row) for row in rows], columns=COLUMNS)


def _possible(question: Question) -> tuple[str, ...]:
    """The possible answers, as far as the question's form shows them."""
    return (question.answer_type, *sorted(question.options))


def _commonest(answers: Sequence[str], forms: Sequence[tuple[str, ...]]) -> int:
    """How often the most frequent answer of each form is right."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for answer, form in zip(answers, forms, strict=True):
        counts.setdefault(form, Counter())[answer] += 1
    return sum(max(count.values()) for count in counts.values())


def _guess(fit: Sequence[str], labels: np.ndarray, test: Sequence[str]) -> np.ndarray:
    """Labels of the `test` texts by logistic regression on 1- and 2-grams; if all labels are equal, that label."""
    if len(set(labels.tolist())) == 1:
        return np.repeat(labels[:1], len(test))
    return np.asarray(_model().fit(list(fit), labels).predict(list(test)))


def _model() -> Pipeline:
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)[-\w]+", binary=True)
    return make_pipeline(words, LogisticRegression(C=1.0, max_iter=5000))


def _step_texts(steps: pd.DataFrame) -> list[str]:
    """Text and answer; the answer's words are marked, so that "left" as answer differs from "left" in the text."""
    pairs = zip(steps["text_of_step"].astype(str), steps["gold"].astype(str), strict=True)
    return [" ".join([text, ";", *(f"answer_{w}" for w in re.findall(r"[-\w]+", gold))]) for text, gold in pairs]


def _by_family(questions: Iterable[Question]) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(question.family, []).append(question)
    return found


def _plain(question: Question) -> tuple[str, str]:
    return " ; ".join((question.text, *question.options)).lower(), question.answer.lower()


def _named(question: Question) -> tuple[str, str]:
    """Text with its options replaced by placeholders in order of mention, and the answer's placeholder."""
    text, answer = question.text.lower(), question.answer.lower()
    options = sorted({o.lower() for o in question.options}, key=lambda o: (_at(o, text), o))
    names = {option: f"option{chr(97 + i)}" for i, option in enumerate(options)}
    for option in sorted(options, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(option)}\b", names[option], text)
    listed = " ".join(names[o.lower()] for o in question.options)  # the order they are offered in may tell, too
    return f"{text} ; {listed}", names.get(answer, answer)


def _at(option: str, text: str) -> int:
    place = text.find(option)
    return place if place >= 0 else len(text)


def _row(group: str, found: stats.Estimate, chance: float) -> tuple[str, float, float, float, float, int]:
    return group, found.value, chance, found.low, found.high, found.n
