"""Do the scorers agree with exact ablation, and do the words of a step alone give its function away?"""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.charts import dots
from headatlas.report.charts.theme import BLUE, GREEN, GREY, ORANGE, PINK, RED
from headatlas.report.figures import in_points, legend
from headatlas.report.page import Block, Chart, Figure, Note, Section, Swatch
from headatlas.report.registry import section
from headatlas.report.tables import Run, only

LOOKS = ((ORANGE, "circle"), (BLUE, "diamond"), (GREEN, "square"), (PINK, "triangle-up"), (RED, "cross"))
TARGET_LOOKS = {"true": (BLUE, "circle"), "control": (GREY, "square"), "text_only": (ORANGE, "diamond")}
WHAT = {
    "function_of_step": "Guessing a step's function from its words",
    "answer_without_image": "Guessing an answer from the words, without the image",
}


@section("agreement", order=200)
def agreement_section(run: Run) -> Section:
    """Rank correlations with ablation, probes and their controls, bag-of-words baselines."""
    blocks: list[Block] = [*gap(run, "agreement")]
    if len(run.tables["agreement"]):
        blocks += _agreement(run.tables["agreement"])
    blocks += gap(run, "probe")
    if len(run.tables["probe"]):
        blocks += _probe(run.tables["probe"])
    blocks += gap(run, "surface")
    if len(run.tables["surface"]):
        blocks += _surface(run.tables["surface"])
    return Section(
        id="agreement",
        title="Do the scorers agree?",
        intro="Exact ablation silences one head at a time and counts the answers lost. Cheaper scorers are compared with it. "
        "A probe says little if the words of a step already give its function away.",
        blocks=tuple(blocks),
        short="Do scorers agree?",
    )


def _agreement(frame: pd.DataFrame) -> list[Block]:
    scorers = words.scorers_in_order(frame["scorer"])
    looks = {name: LOOKS[i % len(LOOKS)] for i, name in enumerate(scorers)}
    swatches = tuple(Swatch(words.scorer(name), *looks[name]) for name in scorers)
    rows = [words.group(name) for name in words.functions_in_order(frame["function"])]
    base = {"row": [words.group(n) for n in frame["function"]], "series": [words.scorer(n) for n in frame["scorer"]]}
    ranks = pd.DataFrame({**base, "value": frame["spearman"], "low": frame["low"], "high": frame["high"]})
    rank_spec = dots(
        ranks,
        swatches=swatches,
        x_title="rank correlation",
        rows=rows,
        zero=True,
        domain=(-1.0, 1.0),
        x_format=".2~f",
    )
    expected = Swatch("Expected by chance", GREY, "square")
    tops = pd.DataFrame({**base, "value": 100 * frame["top5_overlap"]})
    chance = pd.DataFrame({"row": base["row"], "series": expected.text, "value": 100 * frame["top5_expected"]})
    chance = chance.drop_duplicates("row")
    top_spec = dots(
        pd.concat([tops, chance], ignore_index=True).assign(low=None, high=None),
        swatches=(*swatches, expected),
        x_title="top five heads in common (%)",
        rows=rows,
        domain=(0.0, 100.0),
        x_format=".0f",
    )
    return [
        Figure(
            "agreement-rank",
            (Chart("agreement-rank", rank_spec, "Spearman rank correlation of each scorer with exact ablation."),),
            "Same order of heads as exact ablation?",
            "1: the same order; 0: unrelated; below 0: reversed.",
            swatches,
        ),
        Figure(
            "agreement-top",
            (
                Chart(
                    "agreement-top",
                    top_spec,
                    "Share of the five highest heads that a scorer shares with exact ablation.",
                ),
            ),
            "Same five highest heads as exact ablation?",
            swatches=(*swatches, expected),
        ),
    ]


def _probe(frame: pd.DataFrame) -> list[Block]:
    swatches = legend(frame["target"], words.TARGETS, TARGET_LOOKS)
    charts = []
    for measure, title in (("accuracy", "right (%)"), ("auc", "AUC × 100 (50 is chance)")):
        rows = only(frame, measure=measure)
        if rows.empty:
            continue
        named = list(zip(rows["scorer"], rows["function"], rows["split"], strict=True))
        scorers, splits = rows["scorer"].nunique() > 1, rows["split"].nunique() > 1
        names = [f"{words.scorer(s)}, {words.group(f)}, split {p}" for s, f, p in named]
        labels = [
            (words.short(f) + (f" ({s})" if scorers else "") if f else words.scorer(s)) + (f", {p}" if splits else "")
            for s, f, p in named
        ]
        kind = "Accuracy" if measure == "accuracy" else "AUC"
        heading = kind if splits else f"{kind}, split {rows['split'].iloc[0]}"
        order = {name: i for i, name in enumerate(words.functions_in_order(set(rows["function"])))}
        ranks = sorted(range(len(rows)), key=lambda i: (rows["scorer"].iloc[i], order[rows["function"].iloc[i]], i))
        spec = dots(
            pd.DataFrame(
                {
                    "row": labels,
                    "full": names,
                    "series": [words.plain(t, words.TARGETS) for t in rows["target"]],
                    **in_points(rows, "value"),
                    "n": rows["n"],
                }
            ),
            swatches=swatches,
            x_title=title,
            rows=list(dict.fromkeys(labels[i] for i in ranks)),
            domain=(0.0, 100.0),
            tooltip=(("full", "probe", ""), ("n", "n", ",.0f")),
        )
        label = f"Probe {measure} with true functions, with shuffled functions, and from the text alone."
        charts.append(Chart(f"probe-{measure}", spec, label, heading))
    if not charts:
        return [Note("results/probe.csv holds neither accuracy nor AUC.", weak=True)]
    return [
        Figure(
            "probe",
            tuple(charts),
            "Can a probe read the function from the heads?",
            "A probe that does as well with shuffled functions, or from the text alone, has found nothing in the heads.",
            swatches,
            min_width=380 if len(charts) > 1 else 0,
        )
    ]


def _surface(frame: pd.DataFrame) -> list[Block]:
    swatches = (Swatch("Bag of words", ORANGE, "diamond"), Swatch("Chance", GREY, "square"))
    charts = []
    for what in words.in_order(frame["what"], WHAT):
        rows = only(frame, what=what)
        labels = [words.group(name) for name in rows["group"]]
        found = pd.DataFrame(
            {
                "row": labels,
                "series": swatches[0].text,
                **in_points(rows, "accuracy"),
                "n": rows["n"],
            }
        )
        chance = pd.DataFrame({"row": labels, "series": swatches[1].text, "value": 100 * rows["chance"]})
        order = [words.group(name) for name in words.functions_in_order(rows["group"])]
        both = pd.concat([found, chance], ignore_index=True)
        spec = dots(
            both, swatches=swatches, x_title="right (%)", rows=order, domain=(0.0, 100.0), tooltip=(("n", "n", ",.0f"),)
        )
        title = words.plain(what, WHAT)
        charts.append(Chart(f"surface-{what}", spec, f"{title}: accuracy against chance.", title))
    return [
        Figure(
            "surface",
            tuple(charts),
            "How much do the words alone give away?",
            "The classifier sees only the words of a step or question, not the image or the model. The nearer"
            " its accuracy is to chance, the less a head can score by reading the words.",
            swatches,
            min_width=380 if len(charts) > 1 else 0,
        )
    ]
