"""What becomes of a step on which several people have voted: the 60 % rule, and the adjudicator's word.

Knows votes and steps; knows no files. Reported of the paper's CogVSR: three annotators, an agreement threshold of 60 %, functions
relabelled as multi-label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headatlas.annotate.review.votes import WHOLE, Change, Vote
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.cogvsr.parsing import matches, parse
from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError

State = Literal["kept", "dropped", "undecided", "open"]
"""`open`: too few votes; `undecided`: enough, but they do not agree: an adjudicator is needed."""


@dataclass(frozen=True)
class Rule:
    """`share` of the votes (0.5..1) that must agree, and how many votes a step needs to be decided by them."""

    share: float = 0.6
    min_votes: int = 2

    def __post_init__(self) -> None:
        if not 0.5 < self.share <= 1:
            raise HeadAtlasError(f"expected a share over 0.5 and at most 1, came {self.share}")
        if self.min_votes < 1:
            raise HeadAtlasError(f"expected at least one vote a step, came {self.min_votes}")

    def met(self, count: int, of: int) -> bool:
        """Whether `count` of `of` votes are enough."""
        return of > 0 and count >= self.share * of - 1e-9


@dataclass(frozen=True)
class Decision:
    """What becomes of a step: `step` is its final form if it is kept, `why` is in words."""

    state: State
    why: str
    step: Step | None = None


def decide(step: Step, votes: Sequence[Vote], rule: Rule) -> Decision:
    """Decide one step from the votes that hold on it (of annotators and adjudicators; those without a verdict do not count).

    The latest adjudication decides alone. Else the step is dropped if `rule.share` of the annotators reject it; it is
    kept if that share accepts or fixes it *and* that share of these wants the same wording and answer; of the
    functions it then has each that the same share of these marked. The primary function is the one most often marked
    first.
    """
    votes = [vote for vote in votes if vote.verdict]
    if words := [vote for vote in votes if vote.role == "adjudicator"]:
        word = words[-1]
        if word.verdict == "reject":
            return Decision("dropped", f"rejected by adjudicator {word.annotator}")
        return Decision("kept", f"adjudicated by {word.annotator}", _apply(step, word.change, word.functions))
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
    # Sorting is stable: ties stay in the order of FUNCTIONS.
    agreed.sort(key=lambda name: (-first[name], -marked[name]))
    return Decision("kept", f"kept by {len(keepers)} of {n}", _apply(step, wording, tuple(agreed)))


def decide_whole(votes: Sequence[Vote], rule: Rule) -> Decision | None:
    """What the votes on a whole question say: dropped, undecided, or None: it is decided step by step.

    `votes`: all that hold on the question and on its steps. Everyone who voted on any of them and did not reject the
    whole is for it.
    """
    words = [vote for vote in votes if vote.step == WHOLE and vote.role == "adjudicator"]
    if words:
        word = words[-1]
        return Decision("dropped", f"rejected as a whole by adjudicator {word.annotator}") if word.verdict else None
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
    """What is wrong with a changed step, in words; "" if nothing is."""
    if step == len(question.steps) - 1 and change.answer != question.answer:
        return (
            f"the last step's answer is the question's answer, {question.answer!r}: change the wording only, or reject the "
            "whole question"
        )
    options = change.options
    if change.answer_type == "choice" and change.answer not in options and (options or step < len(question.steps) - 1):
        return f"expected one of the options {list(options)} as answer, came {change.answer!r}"
    if len(set(options)) != len(options):
        return "expected each option once"
    if change.answer_type in ("yes_no", "number") and parse(change.answer, change.answer_type) is None:
        return f"expected {'yes or no' if change.answer_type == 'yes_no' else 'a number'} as answer, came {change.answer!r}"
    if not matches(change.answer, change.answer, change.answer_type, options):
        return f"the answer {change.answer!r} cannot be told from what says nothing: no reply would match it"
    return ""


def _apply(step: Step, change: Change | None, functions: tuple[str, ...]) -> Step:
    changed = change.model_dump() if change else {}
    return Step.model_validate({**step.model_dump(), **changed, "functions": functions})
