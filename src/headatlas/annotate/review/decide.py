"""Decide from several people's votes whether a step is kept: the 60 % rule, and the adjudicator.

For the paper's CogVSR, three annotators with an agreement threshold of 60 % were reported; they relabelled functions as
multi-label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headatlas.annotate.review.votes import WHOLE, Change, Vote
from headatlas.answers.parsing import matches, parse
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError

State = Literal["kept", "dropped", "undecided", "open"]
"""`open`: too few votes. `undecided`: enough votes that do not agree; an adjudicator is needed."""


@dataclass(frozen=True)
class Rule:
    """When votes decide a step."""

    share: float = 0.6
    """Share of the votes that must agree, above 0.5 and at most 1."""
    min_votes: int = 2
    """Votes that a step needs."""

    def __post_init__(self) -> None:
        if not 0.5 < self.share <= 1:
            raise HeadAtlasError(f"share must be above 0.5 and at most 1, got {self.share}")
        if self.min_votes < 1:
            raise HeadAtlasError(f"min_votes must be at least 1, got {self.min_votes}")

    def met(self, count: int, of: int) -> bool:
        """Whether `count` of `of` votes are enough."""
        return of > 0 and count >= self.share * of - 1e-9


@dataclass(frozen=True)
class Decision:
    """What happens to a step."""

    state: State
    why: str
    """The reason in words."""
    step: Step | None = None
    """The final form of a step that is kept."""


def decide(step: Step, votes: Sequence[Vote], rule: Rule) -> Decision:
    """Decide one step from its current votes; votes without a verdict do not count.

    The latest vote of an adjudicator decides alone. Otherwise the step is dropped if `rule.share` of the annotators reject
    it. It is kept if that share accept or fix it *and* that share of these want the same wording and answer. It then has
    every function that the same share of these marked; the primary function is the one most often marked first.
    """
    votes = [vote for vote in votes if vote.verdict]
    if adjudications := [vote for vote in votes if vote.role == "adjudicator"]:
        last = adjudications[-1]
        if last.verdict == "reject":
            return Decision("dropped", f"rejected by adjudicator {last.annotator}")
        return Decision("kept", f"adjudicated by {last.annotator}", _apply(step, last.change, last.functions))
    n, rejects = len(votes), sum(vote.verdict == "reject" for vote in votes)
    if n < rule.min_votes:
        return Decision("open", f"{n} of {rule.min_votes} votes")
    if rule.met(rejects, n):
        return Decision("dropped", f"rejected by {rejects} of {n}")
    keepers = [vote for vote in votes if vote.verdict != "reject"]
    if not rule.met(len(keepers), n):
        return Decision("undecided", f"{len(keepers)} keep it, {rejects} reject it")
    wordings = Counter(vote.change for vote in keepers)
    wording, count = wordings.most_common(1)[0]
    if not rule.met(count, len(keepers)):
        return Decision("undecided", f"{len(wordings)} wordings, none wanted by {rule.share:.0%}")
    marked = Counter(name for vote in keepers for name in vote.functions)
    first = Counter(vote.functions[0] for vote in keepers)
    agreed = [name for name in FUNCTIONS if rule.met(marked[name], len(keepers))]
    if not agreed:
        return Decision("undecided", f"no function marked by {rule.share:.0%}")
    # Sorting is stable: ties keep the order of FUNCTIONS.
    agreed.sort(key=lambda name: (-first[name], -marked[name]))
    return Decision("kept", f"kept by {len(keepers)} of {n}", _apply(step, wording, tuple(agreed)))


def decide_whole(votes: Sequence[Vote], rule: Rule) -> Decision | None:
    """The decision on a whole question, None if it is decided step by step.

    Args:
        votes: all current votes on the question and on its steps. An annotator who voted on any of them and did not reject
            the whole question counts as a vote for it.
        rule: when votes decide.
    """
    adjudications = [vote for vote in votes if vote.step == WHOLE and vote.role == "adjudicator"]
    if adjudications:
        last = adjudications[-1]
        return Decision("dropped", f"rejected as a whole by adjudicator {last.annotator}") if last.verdict else None
    voters = {vote.annotator for vote in votes if vote.role == "annotator" and vote.verdict}
    rejects = {
        vote.annotator for vote in votes if vote.step == WHOLE and vote.role == "annotator" and vote.verdict == "reject"
    }
    if not rejects or rule.met(len(voters) - len(rejects), len(voters)):
        return None
    if len(voters) < rule.min_votes:
        return Decision("open", f"{len(voters)} of {rule.min_votes} votes, {len(rejects)} against the whole question")
    if rule.met(len(rejects), len(voters)):
        return Decision("dropped", f"rejected as a whole by {len(rejects)} of {len(voters)}")
    return Decision("undecided", f"rejected as a whole by {len(rejects)} of {len(voters)}")


def fault_of(change: Change, question: Question, step: int) -> str:
    """What is wrong with a changed step, in words; "" if nothing is wrong."""
    if step == len(question.steps) - 1 and change.answer != question.answer:
        return (
            f"the last step's answer is the question's answer, {question.answer!r}: change the wording only, or reject the "
            "whole question"
        )
    options = change.options
    if change.answer_type == "choice" and change.answer not in options and (options or step < len(question.steps) - 1):
        return f"the answer must be one of the options {list(options)}, got {change.answer!r}"
    if len(set(options)) != len(options):
        return "options must be different"
    if change.answer_type in ("yes_no", "number") and parse(change.answer, change.answer_type) is None:
        return (
            f"the answer must be {'yes or no' if change.answer_type == 'yes_no' else 'a number'}, got {change.answer!r}"
        )
    if not matches(change.answer, change.answer, change.answer_type, options):
        return f"the answer {change.answer!r} has no words that a reply could match"
    return ""


def _apply(step: Step, change: Change | None, functions: tuple[str, ...]) -> Step:
    changed = change.model_dump() if change else {}
    return Step.model_validate({**step.model_dump(), **changed, "functions": functions})
