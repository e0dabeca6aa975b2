"""Review of steps by people: a local page, votes in SQLite, agreement, adjudication, and the final dataset."""

from headatlas.annotate.review.agreement import agreement
from headatlas.annotate.review.decide import Decision, Rule, decide
from headatlas.annotate.review.export import Reviewed, export, review_result
from headatlas.annotate.review.kappa import fleiss, krippendorff_alpha
from headatlas.annotate.review.serve import serve
from headatlas.annotate.review.votes import Change, Vote, VoteStore

__all__ = [
    "Change",
    "Decision",
    "Reviewed",
    "Rule",
    "Vote",
    "VoteStore",
    "agreement",
    "decide",
    "export",
    "fleiss",
    "krippendorff_alpha",
    "review_result",
    "serve",
]
