"""The terms that a reader needs, and the eight functions."""

from __future__ import annotations

from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, SPATIAL, TITLES
from headatlas.report.one_task import is_one_task
from headatlas.report.page import Section
from headatlas.report.registry import section
from headatlas.report.tables import Run

TERMS = (
    (
        "Head",
        "One attention head, a small unit of the model. Each layer has several of them. L3.H5 is head 5 of layer 3.",
    ),
    ("Step", "A question is answered as a chain of short subquestions. Each subquestion is a step."),
    ("Function", "The kind of thinking that a step needs. There are eight; two of them are spatial."),
    ("Scorer", "A method that rates how much each head matters for a function. This study compares several."),
    (
        "Ablation",
        "Silencing heads (replacing or shrinking their output) to see what the model can no longer do.",
    ),
    (
        "Control",
        "The same change made where it should not matter, for example to the same number of random heads.",
    ),
    (
        "Split",
        "The data are divided into four parts that share no image. P is for fitting probes, S for scoring and"
        " selecting heads, and T for tuning strengths. E is used once, for the results.",
    ),
    (
        "95 % interval",
        "The range of values that fit the data, given how many questions were asked. It is drawn as a line "
        "through a dot.",
    ),
    ("Points", "Percentage points: from 80 % to 70 % is a drop of 10 points."),
    ("Nats", "The unit of log-probabilities. If one nat is lost, the right answer is 37 % as likely as before."),
    (
        "p and q",
        "p says how often chance alone would give an effect this large. q is p corrected for testing many "
        "things at once.",
    ),
)


@section("words", order=220)
def glossary_section(run: Run) -> Section:
    """The terms and the eight functions."""
    one_task = is_one_task(run)
    named = () if one_task else FUNCTIONS
    functions = [{"title": TITLES[name], "meaning": MEANINGS[name], "spatial": name in SPATIAL} for name in named]
    return Section(
        id="words",
        title="Words used in this report",
        intro="The terms used here."
        if one_task
        else "The terms used here, and the eight functions that steps are sorted into.",
        kind="glossary",
        data={"terms": TERMS, "functions": functions},
        short="Words used",
    )
