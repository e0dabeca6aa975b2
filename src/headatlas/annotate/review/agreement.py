"""Measure how far annotators agree on the verdict, on the primary function and on every function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import pandas as pd

from headatlas.annotate.review.decide import Rule
from headatlas.annotate.review.kappa import fleiss, krippendorff_alpha, pairwise
from headatlas.annotate.review.votes import WHOLE, Vote
from headatlas.cogvsr.functions import FUNCTIONS

COLUMNS = ("what", "steps", "votes", "agreement", "settled", "fleiss", "fleiss_steps", "fleiss_raters", "alpha")


def agreement(votes: Sequence[Vote], rule: Rule | None = None) -> pd.DataFrame:
    """A table with a row for the verdict (accept, fix, reject), for the primary function, and for each function (marked or not).

    Args:
        votes: the current votes, from `VoteStore.votes`. Only annotators' verdicts on steps count; functions are compared
            among the annotators who keep the step.
        rule: the rule whose share `settled` refers to.

    Returns:
        The columns `COLUMNS`: `steps` with at least two votes; `votes` on these steps; `agreement`, the mean share of pairs
        that agree, 0 to 1; `settled`, the share of steps on which a label reaches the rule's share, 0 to 1; `fleiss`, kappa
        on the `fleiss_steps` steps that have `fleiss_raters` votes each; Krippendorff's `alpha`. NaN where it is not defined.
    """
    rule = rule or Rule()
    cast = [v for v in votes if v.role == "annotator" and v.verdict and v.step != WHOLE]
    keepers = [v for v in cast if v.verdict != "reject"]
    rows = [
        _row("verdict", _by_step(cast, [v.verdict for v in cast]), rule),
        _row("primary function", _by_step(keepers, [v.functions[0] for v in keepers]), rule),
    ]
    rows += [_row(name, _by_step(keepers, [name in v.functions for v in keepers]), rule) for name in FUNCTIONS]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _by_step(votes: Sequence[Vote], labels: Sequence[Hashable]) -> list[list[Hashable]]:
    by_step: dict[tuple[str, int], list[Hashable]] = {}
    for vote, label in zip(votes, labels, strict=True):
        by_step.setdefault((vote.question, vote.step), []).append(label)
    return [item for item in by_step.values() if len(item) >= 2]


def _row(what: str, items: list[list[Hashable]], rule: Rule) -> tuple:
    settled = [rule.met(Counter(item).most_common(1)[0][1], len(item)) for item in items]
    share = sum(settled) / len(settled) if settled else float("nan")
    kappa, of, raters = fleiss(items)
    return (
        what,
        len(items),
        sum(map(len, items)),
        pairwise(items),
        share,
        kappa,
        of,
        raters,
        krippendorff_alpha(items),
    )
