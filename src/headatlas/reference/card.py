"""Write the model card of a reference VLM: what it is, how it was trained, and how well it answers.

Accuracies are measured on questions of split E, drawn with a seed that neither training nor studies use.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.reference.families import family_named
from headatlas.reference.recipe import Recipe
from headatlas.scenes.build import symbolic
from headatlas.shipped import complete
from headatlas.stats import wilson
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import evaluate, is_right
from headatlas.vlm.generate import generate_answers
from headatlas.vlm.load import load_vlm
from headatlas.vlm.model import VLM

SEED = 20_260_320
"""Seed of the questions on which the card's figures are measured."""

WAYS = {
    "own": "own context",
    "gold": "gold context",
    "own_no_image": "own context, no image",
    "gold_no_image": "gold context, no image",
}
"""Ways to answer a question: after the model's own earlier answers or the gold ones, with or without the image."""

FREE_WORDS = "own_free_words"
"""The way of a family with a pretrained language model: own context, asked in words that training never uses."""

COLUMNS = ("way", "group_kind", "group", "accuracy", "low", "high", "unparsable", "n")


def measure(
    folder: Path, n: int = 600, seed: int = SEED, progress: Progress | None = None, family: str = "llava"
) -> pd.DataFrame:
    """Accuracy of the model in `folder` on `n` questions of split E, answered in every way and decoded greedily.

    Returns:
        One row per group: way (one of `WAYS`, or `direct` for the question alone, without steps), group_kind (`function`;
        `family` for final answers by question type; `final`), group, accuracy and unparsable (0..1), low and high (95 % Wilson
        interval), n. For a family with a pretrained language model also the ways `own_free_words` and `plain`: the tokens of the
        base's answers to plain prompts that the model says as well.

    Raises:
        HeadAtlasError: `folder` holds no loadable VLM, or n < 1.
    """
    if n < 1:
        raise HeadAtlasError(f"n must be at least 1, got {n}")
    vlm = load_vlm(folder)
    questions = [made.rendered() for made in symbolic(n, "E", seed)]
    rows: list[dict[str, object]] = []
    for i, way in enumerate(WAYS):
        if progress is not None:
            progress(f"measure: {WAYS[way]}", i, len(WAYS) + 1)
        # In gold context one teacher-forced pass gives the same answers as generation.
        context, mode = ("own", "generate") if way.startswith("own") else ("gold", "forced")
        arm = _without_image if way.endswith("no_image") else None
        rows += _count(way, evaluate(vlm, questions, mode=mode, context=context, arm=arm))
    if progress is not None:
        progress("measure: the answer without steps", len(WAYS), len(WAYS) + 1)
    answers = generate_answers(vlm, [conversation(question, upto=0, direct=True) for question in questions])
    right = [is_right(answer.text, question, answer.ended) for answer, question in zip(answers, questions, strict=True)]
    rows.append(_row("direct", "final", "final", pd.Series(right), float("nan")))
    rows += _beside_the_base(vlm, questions, family, progress)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _beside_the_base(
    vlm: VLM, questions: list[Question], family: str, progress: Progress | None
) -> list[dict[str, object]]:
    """What is measured of a family with a pretrained language model; nothing for the others."""
    if family_named(family).base is None:
        return []
    from headatlas.reference.smol.base import load_base
    from headatlas.reference.smol.figures import agreement, in_free_words

    if progress is not None:
        progress("measure: free words and plain text", len(WAYS) + 1, len(WAYS) + 2)
    rows = _count(FREE_WORDS, evaluate(vlm, in_free_words(questions), mode="generate", context="own"))
    tokens = [i < right for right, n in agreement(vlm.model, *load_base()) for i in range(n)]
    return [*rows, _row("plain", "plain", "tokens", pd.Series(tokens), float("nan"))]


def write_card(
    folder: Path,
    recipe: Recipe,
    processes: int,
    figures: pd.DataFrame,
    name: str | None = None,
    command: str | None = None,
    history: str | None = None,
) -> None:
    """Write README.md and figures.csv into the model folder.

    Args:
        folder: of the model.
        recipe: it was trained with.
        processes: that trained it.
        figures: result of `measure`.
        name: in the title; by default that of the family's shipped model.
        command: that trains it; by default with the family alone.
        history: how it was trained, for a model that no single command gives.
    """
    family = family_named(recipe.family)
    figures.round(4).to_csv(folder / "figures.csv", index=False)
    config = json.loads((complete(folder) / "config.json").read_text())
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(
        (Path(__file__).parent / ("card.md.jinja" if family.base is None else "card_with_base.md.jinja")).read_text()
    )
    text = config["text_config"]
    card = template.render(
        name=name or family.shipped,
        family=family,
        recipe=recipe,
        command=command or train_command(recipe.family),
        history=history,
        free_words=_beside(figures),
        plain=_cell(plain.iloc[0]) if len(plain := figures[figures["way"] == "plain"]) else "",
        d_head=text.get("head_dim") or recipe.shape.width // recipe.shape.heads,
        shape=recipe.shape,
        processes=processes,
        seed=SEED,
        vocabulary=text["vocab_size"],
        megabytes=sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
        by_function=_table(figures, "function", list(FUNCTIONS)),
        final=_table(figures, "final", ["final"]),
        by_family=_table(figures, "family", None),
        direct=_cell(figures[figures["way"] == "direct"].iloc[0]),
    )
    (folder / "README.md").write_text(card)


def train_command(family: str, minutes: float | None = None, seed: int = 0, marks: float = 0.0) -> str:
    """The command that trains the same model; what is at its default is left out."""
    parts = ["headatlas reference train"]
    parts += [f"--family {family}"] if family != "llava" else []
    parts += [f"--minutes {minutes:g}"] if minutes is not None else []
    parts += [f"--seed {seed}"] if seed else []
    parts += [f"--marks {marks:g}"] if marks else []
    return " ".join(parts)


def _without_image(question: Question) -> tuple[tuple, str]:
    return (), ""


def _count(way: str, answers: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for name in FUNCTIONS:
        part = answers[answers["function"] == name]
        if len(part):
            rows.append(_row(way, "function", name, part["correct"], part["unparsable"].mean()))
    final = answers[answers["step"] == answers["n_steps"] - 1]
    rows.append(_row(way, "final", "final", final["correct"], final["unparsable"].mean()))
    for family, part in final.groupby("family", sort=True):
        rows.append(_row(way, "family", str(family), part["correct"], part["unparsable"].mean()))
    return rows


def _row(way: str, kind: str, group: str, correct: pd.Series, unparsable: float) -> dict[str, object]:
    interval = wilson(int(correct.sum()), len(correct))
    values = (way, kind, group, interval.value, interval.low, interval.high, float(unparsable), len(correct))
    return dict(zip(COLUMNS, values, strict=True))


def _table(figures: pd.DataFrame, kind: str, groups: list[str] | None) -> str:
    part = figures[(figures["group_kind"] == kind) & figures["way"].isin(tuple(WAYS))]
    names = groups or sorted(part["group"].unique())
    lines = [f"| | n | {' | '.join(WAYS.values())} |", "|---" * (len(WAYS) + 2) + "|"]
    for name in names:
        rows = part[part["group"] == name].set_index("way")
        if len(rows):
            cells = [_cell(rows.loc[way]) for way in WAYS]
            title = TITLES.get(name, name.replace("_", " "))
            lines.append(f"| {title} | {int(rows['n'].iloc[0])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _beside(figures: pd.DataFrame) -> str:
    """The table of answers in the templates' words and in free ones."""
    lines = ["| | n | templates | free words |", "|---|---|---|---|"]
    for name in [*FUNCTIONS, "final"]:
        rows = figures[(figures["group"] == name) & figures["group_kind"].isin(("function", "final"))].set_index("way")
        if FREE_WORDS in rows.index:
            cells = " | ".join(_cell(rows.loc[way]) for way in ("own", FREE_WORDS))
            lines.append(f"| {TITLES.get(name, 'Final answer')} | {int(rows.loc[FREE_WORDS, 'n'])} | {cells} |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    return f"{row['accuracy']:.2f} ({row['low']:.2f}-{row['high']:.2f})"
