"""Charts of how many questions and steps a dataset has, for `headatlas data stats --charts`."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.summary import title
from headatlas.formatting import count, percent
from headatlas.report.charts import bars
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.page import Chart, Figure, Swatch

_HERE, _PAPER = Swatch("this dataset", BLUE), Swatch("the paper's CogVSR", GREY)
_TITLES = {
    "function": "Steps by cognitive function",
    "source": "Steps by source",
    "split": "Steps by split",
    "family": "Steps by type of question",
    "answer_type": "Steps by answer type",
    "steps": "Steps by number of steps in the question",
}


def count_figures(table: pd.DataFrame) -> list[Figure]:
    """One figure for each group in the table of `cogvsr.summary.summarize`: the share of steps in %, and the paper's if known."""
    return [_figure(group, table[table["group"] == group]) for group in _TITLES if (table["group"] == group).any()]


def _figure(group: str, part: pd.DataFrame) -> Figure:
    rows = []
    for row in part.to_dict("records"):
        name = title(group, str(row["name"]))
        share = 100 * float(row["share"])
        rows.append((name, share, f"{percent(row['share'])}  ({count(row['steps'])})", _HERE.text))
        if row["paper_share"] == row["paper_share"]:
            paper = 100 * float(row["paper_share"])
            text = f"{percent(row['paper_share'])}  ({count(row['paper_steps'])})"
            rows.append((f"{name} (paper)", paper, text, _PAPER.text))
    frame = pd.DataFrame.from_records(rows, columns=["row", "value", "text", "series"])
    known = (_HERE, _PAPER) if (frame["series"] == _PAPER.text).any() else (_HERE,)
    spec = bars(frame, swatches=known, x_title="share of steps, %")
    return Figure(name=group, charts=(Chart(group, spec, label=_TITLES[group]),), title=_TITLES[group], swatches=known)
