"""What a reader must know before the findings: the model is at chance, needs no picture, or the run was a quick one."""

from __future__ import annotations

from typing import Any

from headatlas.report import words
from headatlas.report.page import Notice
from headatlas.report.tables import Run, only, records

WITHOUT_FINDINGS = ("task", "words", "settings", "timings")
"""The sections that remain in the report of a model at chance."""


def notices(run: Run) -> list[Notice]:
    """The boxes above the report, the most important first."""
    if at_chance(run):
        return [_chance(run)]
    found = (_blind(run), _quick(run))
    return [notice for notice in found if notice is not None]


def at_chance(run: Run) -> bool:
    """Whether the model's accuracy is not above guessing: the interval of the corrected score on spatial steps reaches 0.

    Questions without functions have no such score; there only a model without any right answer is known to be at chance.
    """
    row = _metric(run, "SS_chance_corrected")
    return _none_right(run) if row is None else words.known(row.low) and row.low <= 0


def _none_right(run: Run) -> bool:
    """Whether no final answer on split E is right."""
    final = only(run.tables["baseline"], group_kind="final", context=["own", "gold"])["accuracy"].dropna()
    return len(final) > 0 and bool((final == 0).all())


def _metric(run: Run, name: str) -> Any:
    """The row of a metric, with the dataset's earlier answers where they were used; None without one."""
    rows = only(run.tables["metrics"], metric=name)
    for condition in ("gold", "own"):
        some = only(rows, condition=condition)
        if len(some):
            return records(some)[0]
    return None


def _score(row: Any) -> str:
    value, low, high = (words.number(x, 1) for x in (row.value, row.low, row.high))
    return words.with_interval(value, f"95 % interval {words.interval(low, high)}")


def _chance(run: Run) -> Notice:
    corrected, plain = _metric(run, "SS_chance_corrected"), _metric(run, "SS")
    if corrected is None:
        final = only(run.tables["baseline"], group_kind="final", context=["own", "gold"])
        return Notice(
            "This model answers none of these questions right, so there are no findings",
            (
                f"None of its {words.count(final['n'].max())} answers on the evaluation questions is right; "
                f"{words.percent(final['unparsable'].max(), 0)} could not be read.",
                "Heads cannot be found for work that a model does not do. Maps, verdicts and examples are left out; the tables "
                "are in results/.",
                "Look at what it says (headatlas answer MODEL PICTURE QUESTION), or study easier questions or another model.",
            ),
            "stop",
        )
    right = f"It answers {words.number(plain.value, 1)} % of them correctly. " if plain is not None else ""
    return Notice(
        "This model does no better than guessing on spatial steps, so there are no findings",
        (
            f"{right}Above chance, with 0 for guessing and 100 for no error: {_score(corrected)}.",
            "Heads cannot be found for work that a model does not do. Maps, verdicts and examples are left out; the tables are "
            "in results/.",
            "Study a model that can do the task, or easier questions. More questions (--n) make the interval narrower.",
        ),
        "stop",
    )


def _blind(run: Run) -> Notice | None:
    row = _metric(run, "SS_ground")
    if row is None or not words.known(row.low) or row.low > 0:
        return None
    return Notice(
        "Seeing the picture does not clearly help this model",
        (
            f"Gain in Spatial Score from seeing the picture: {_score(row)}. The heads below may serve guessing from the words.",
        ),
    )


def _questions_of_e(run: Run) -> int | None:
    """Questions of split E, if the settings tell."""
    data = run.settings.get("data")
    counts = data.get("questions") if isinstance(data, dict) else None
    number = counts.get("E") if isinstance(counts, dict) else None
    return number if isinstance(number, int) else None


def _quick(run: Run) -> Notice | None:
    if run.settings.get("quick") is not True:
        return None
    lines = []
    sizes = []
    asked, there = run.settings.get("n_control_questions"), _questions_of_e(run)
    if isinstance(asked, int):
        sizes.append(f"{words.count(min(asked, there) if there else asked)} questions")
    if words.known(run.settings.get("n_random")):
        sizes.append(f"{words.count(run.settings['n_random'])} random head sets")
    if sizes:
        lines.append(f"Head sets were compared on {words.listing(sizes)}.")
    removed = run.tables["negative"]
    half = ((removed["high"] - removed["low"]) / 2)[removed["k"] > 0].dropna()
    half = half[half > 0]
    if len(half):
        lines.append(
            f"Effects below about {words.number(100 * half.median(), 0)} points cannot be told from chance here."
        )
    untested = sorted({str(c.get("id")) for c in run.claims if c.get("verdict") == "not testable here"})
    if untested and all(claim.get("verdict") == "not testable here" for claim in run.claims):
        lines.append("The claims of the paper cannot be tested with this run.")
    elif untested:
        whom = words.listing(untested)
        lines.append(
            f"{whom} {'is' if len(untested) == 1 else 'are'} not testable with this run for at least one way of finding heads."
        )
    lines.append("For verdicts, run the same study without --quick.")
    return Notice("A quick run: a first look, not a result", tuple(lines))
