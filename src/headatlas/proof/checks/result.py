"""`Result`: the verdict of a check and the largest difference it measured."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["holds", "fails", "not applicable"]

CLOSE = 1e-4
"""A difference counts as rounding up to this share of the largest value compared (float32)."""
SEEN = 50
"""An effect counts when it is this many times larger than what counts as rounding."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check in one tower (`""`: of the model as a whole).

    Attributes:
        check: its name.
        tower: `L`, `V`, `X`, `E`, `C` or `""`.
        verdict: `holds`, `fails` or `not applicable`.
        difference: the largest difference measured, as a share of the largest value compared; None if nothing was compared.
        reason: why it does not hold or apply, or a remark.
    """

    check: str
    tower: str
    verdict: Verdict
    difference: float | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as a dictionary of plain values."""
        return asdict(self)


def worst(check: str, tower: str, results: list[Result]) -> Result:
    """One result for several of the same check and tower: a failure if there is one."""
    differences = [r.difference for r in results if r.difference is not None]
    largest = max(differences, default=None)
    failed = [r for r in results if r.verdict == "fails"]
    if failed:
        return Result(check, tower, "fails", largest, _joined([r.reason for r in failed]))
    holds = any(r.verdict == "holds" for r in results)
    return Result(check, tower, "holds" if holds else "not applicable", largest, _joined([r.reason for r in results]))


def _joined(reasons: list[str]) -> str:
    """The different reasons: at most three, and the number of others."""
    known = list(dict.fromkeys(reason for reason in reasons if reason))
    return "; ".join([*known[:3], *([f"and {len(known) - 3} more"] if len(known) > 3 else [])])
