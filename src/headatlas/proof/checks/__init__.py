"""The checks of a family, on its model alone; each is described in its module."""

from headatlas.proof.checks.attention import check_rows
from headatlas.proof.checks.result import CLOSE, SEEN, Result, Verdict, worst
from headatlas.proof.checks.sequences import check_cache, check_kernel, check_ragged
from headatlas.proof.checks.sites import check_heads, check_no_op, check_sum, check_zero

__all__ = [
    "CLOSE",
    "SEEN",
    "Result",
    "Verdict",
    "check_cache",
    "check_heads",
    "check_kernel",
    "check_no_op",
    "check_ragged",
    "check_rows",
    "check_sum",
    "check_zero",
    "worst",
]
