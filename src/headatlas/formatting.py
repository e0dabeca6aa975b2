"""Numbers as text for people: in the report, the comparison and the sentences of verdicts. Nothing else formats numbers there.

Every negative number has a true minus sign, zero never has a sign, and what is not a finite number is `MISSING`.
"""

from __future__ import annotations

import math
from numbers import Real

MISSING = "–"


def known(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, digits: int = 2) -> str:
    """A number with `digits` decimals, a true minus sign and no "-0.0"; `MISSING` if it is not a finite number."""
    if not known(value):
        return MISSING
    text = f"{float(value):,.{digits}f}"  # type: ignore[arg-type]
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def count(value: object) -> str:
    """A whole number with thousands separated."""
    return number(value, 0)


def percent(value: object, digits: int = 1) -> str:
    """A share (0..1) as per cent, such as "12.3 %"."""
    return f"{number(100 * value, digits)} %" if known(value) else MISSING  # type: ignore[operator]


def signed(value: object, digits: int = 1) -> str:
    """A number with its sign, such as "+3.1"; zero has none."""
    text = number(value, digits)
    return f"+{text}" if text[0] not in f"−{MISSING}" and any(digit in text for digit in "123456789") else text


def points(value: object, digits: int = 1) -> str:
    """A difference of shares (-1..1) as signed percentage points without the unit, such as "+3.1"."""
    return signed(100 * value, digits) if known(value) else MISSING  # type: ignore[operator]


def interval(low: str, high: str) -> str:
    """Two formatted bounds as "low to high"; empty if one is missing."""
    return "" if MISSING in (low, high) else f"{low} to {high}"


def with_interval(value: str, span: str) -> str:
    """A formatted number and its interval in brackets, if there is one."""
    return f"{value} ({span})" if span else value


def p_value(value: object) -> str:
    """A p-value: three decimals, or `< 0.001`."""
    if not known(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]


def seconds(value: object) -> str:
    """A duration in the unit a person would use."""
    if not known(value):
        return MISSING
    if value < 60:  # type: ignore[operator]
        return f"{value:.1f} s"
    whole = round(value)  # type: ignore[call-overload]
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def becomes(before: object, after: object) -> str:
    """How a share changes, in words: "falls from 93.0 % to 41.2 %", "rises from ...", "stays at 93.0 %"."""
    old, new = percent(before), percent(after)
    if old == new:
        return f"stays at {new}"
    if not (known(before) and known(after)):
        return f"is {new}"
    return f"{'falls' if after < before else 'rises'} from {old} to {new}"  # type: ignore[operator]
