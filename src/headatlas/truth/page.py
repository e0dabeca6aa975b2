"""The documentation pages that grading and calibration write, as Markdown."""

from __future__ import annotations

import math

import pandas as pd

from headatlas.scoring import SCORERS
from headatlas.truth.calibrate import is_calibrated, rates
from headatlas.truth.grade import NULLS, summary
from headatlas.truth.latent import latent_rates
from headatlas.truth.synthetic import KINDS


def grading_page(grades: pd.DataFrame) -> str:
    """The tables of `grade` with a sentence on each: over all worlds, and by role of the planted heads."""
    worlds = ", ".join(dict.fromkeys(grades.loc[grades["kind"] == "planted", "world"])) or "none"
    lines = [
        f"Planted worlds: {worlds}. Null worlds: {', '.join(dict.fromkeys(grades.loc[grades['kind'] != 'planted', 'world']))}.",
        "",
        "| scorer | selector | AUPRC | precision at \\|S\\| | selected sets: precision | recall | F1 | "
        + " | ".join(f"selected in the null world: {kind}" for kind in NULLS)
        + " | seconds |",
        "|" + "---|" * (8 + len(NULLS)),
    ]
    for _, row in summary(grades).iterrows():
        at = _number(row.get("precision_at"))
        if at != "–":
            at += f" ({_number(row['precision_low'])} to {_number(row['precision_high'])})"
        cells = [SCORERS[row["scorer"]].label, row["selector"] or "–", _number(row.get("auprc")), at]
        cells += [_number(row.get(key)) for key in ("precision", "recall", "f1")]
        cells += [_number(row.get(f"false_{kind}"), 3) for kind in NULLS]
        lines.append("| " + " | ".join([*cells, _number(row["seconds"], 0)]) + " |")
    planted = grades[grades["kind"] == "planted"].drop_duplicates(["world", "scorer", "function"])
    if len(planted):
        table = planted.pivot_table(index="scorer", columns="role", values="precision_at", aggfunc="mean", sort=False)
        counts = planted.drop_duplicates(["world", "function"])["role"].value_counts()
        names = list(table.columns)
        lines += ["", "Precision at |S| by role of the planted heads:", ""]
        lines += [
            "| scorer | " + " | ".join(f"{name} ({counts[name]})" for name in names) + " |",
            "|" + "---|" * (1 + len(names)),
        ]
        for scorer, row in table.iterrows():
            lines.append(f"| {SCORERS[str(scorer)].label} | " + " | ".join(_number(row[name]) for name in names) + " |")
    return "\n".join(lines) + "\n"


def latent_page(grades: pd.DataFrame) -> str:
    """The table of `grade_latent` for all worlds, with recall and false discoveries over all of them."""
    rates = latent_rates(grades)
    lines = [
        "| world | function | accuracy: faint | restored | faint heads | weak | latent (true) | found | recall | false |",
        "|" + "---|" * 10,
    ]
    for _, row in grades.iterrows():
        true = len(row["true"].split())
        recall = f"{row['hits']} of {true}" if true else "–"
        cells = [row["world"], str(row["function"]).replace("_", " "), _number(row["before"]), _number(row["restored"])]
        cells += [row["faint"], row["weak"] or "–", row["true"] or "–", row["found"] or "–", recall, str(row["false"])]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"Recall {_number(rates['recall'])}, false discoveries {_number(rates['false_discoveries'])}."]
    return "\n".join(lines) + "\n"


def calibration_page(found: pd.DataFrame) -> str:
    """The tables of `calibrate`: how often each claim is supported, and the verdicts by kind of world."""
    table = rates(found)
    meets = is_calibrated(table)
    lines = [
        "| claim | it is | supported | contradicted | inconclusive | not testable | worlds | aim met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for i, row in table.iterrows():
        share = f"{100 * row['supported']:.0f} % ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
        others = " | ".join(f"{100 * row[key]:.0f} %" for key in ("contradicted", "inconclusive", "untestable"))
        truth = "true" if row["true"] else "false"
        lines.append(
            f"| {row['claim']} | {truth} | {share} | {others} | {row['worlds']} | {'yes' if meets[i] else 'no'} |"
        )
    claims = sorted(found["claim"].unique())
    lines += ["", "| kind of world | " + " | ".join(claims) + " |", "|" + "---|" * (1 + len(claims))]
    for kind, some in found.groupby("kind", sort=False):
        cells = dict.fromkeys(claims, "")
        for claim, own in some.groupby("claim"):
            share = (own["verdict"] == "supported").mean()
            cells[str(claim)] = f"{100 * share:.0f} % ({'true' if own['true'].iloc[0] else 'false'})"
        lines.append(f"| *{kind}*: {KINDS[str(kind)]} | " + " | ".join(cells.values()) + " |")
    return "\n".join(lines) + "\n"


def _number(value: object, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) and math.isfinite(value) else "–"
