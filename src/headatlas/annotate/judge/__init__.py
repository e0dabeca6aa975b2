"""Judge answers with a language model, and measure the agreement of judge, parser and people."""

from headatlas.annotate.judge.agreement import Agreement, agreement
from headatlas.annotate.judge.ask import VERDICTS, Case, Verdict, judge_one, parser_verdict
from headatlas.annotate.judge.table import judge_answers, read_answers

__all__ = [
    "VERDICTS",
    "Agreement",
    "Case",
    "Verdict",
    "agreement",
    "judge_answers",
    "judge_one",
    "parser_verdict",
    "read_answers",
]
