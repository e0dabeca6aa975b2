"""The opening: which heads, what they look at, and what happens without them, in three sentences and one picture.

A fourth sentence follows where heads were found that stand in for each other.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.blocks import all_scorers, headline_selector
from headatlas.report.one_task import is_one_task
from headatlas.report.page import Bar, Block, Figure, PerScorer, Section, Shot, Story
from headatlas.report.registry import section
from headatlas.report.sections.examples import image_uri
from headatlas.report.sections.heads import function_map, map_ramp, selected_heads
from headatlas.report.tables import Run, only, records

N_SHOTS = 3
"""Heads whose attention is shown."""

PLAIN = {
    "spatial_perception": "spatial perception (seeing where things are)",
    "relational_reasoning": "relational reasoning (how things are placed relative to each other)",
}

WHY_OPEN = {
    "inconclusive": "That is not enough to say that they are needed.",
    "contradicted": "So they are not what these steps depend on.",
    "not testable here": "There is no verdict: the run has too few random sets or questions for one.",
}
"""What is said after the numbers where the verdict on removal is not "supported"."""

ALPHA = 0.05
"""Largest p, against random sets, of a redundant group that is named."""

UNREADABLE = 0.05
"""Share of unreadable answers from which the third sentence names it."""


@section("story", order=-10)
def story_section(run: Run) -> Section:
    """The opening, once for each scorer."""
    views: dict[str, tuple[Block, ...]] = {scorer: (_story(run, scorer),) for scorer in all_scorers(run)}
    return Section(
        id="story",
        title="In short",
        intro="",
        blocks=(PerScorer(views),) if views else (Story(("No heads were scored in this run.",)),),
    )


def opening(run: Run) -> Story:
    """The opening of the first scorer."""
    scorers = all_scorers(run)
    return _story(run, scorers[0]) if scorers else Story(("No heads were scored in this run.",))


def _story(run: Run, scorer: str) -> Story:
    function, row = _subject(run, scorer)
    heads = _heads(run, scorer, function, row)
    if not heads:
        sentences = (_none(run, scorer), *_too_few(run), *_elsewhere(run, scorer), *_shared(run))
        return Story(sentences, map=_map(run, scorer, function))
    third, bars, caption = _without(run, scorer, function, row)
    shots, about = _shots(run, function, heads)
    return Story(
        sentences=(_which(run, scorer, function, heads), _look(run, function, heads), third, *_shared(run)),
        heads=tuple(heads),
        map=_map(run, scorer, function),
        shots=shots,
        shots_title="What they look at" if shots else "",
        shots_caption=about,
        bars=bars,
        bars_title=f"Right answers, {words.group(function).lower()}" if bars else "",
        bars_caption=caption,
    )


def _subject(run: Run, scorer: str) -> tuple[str, Any]:
    """The spatial function that the opening is about, and its row of negative.csv under the study's operation, if any.

    It is spatial perception; relational reasoning only if the scorer has no heads for the former.
    """
    for function in SPATIAL:
        row = removal_row(run, scorer, function)
        if row is not None or selected_heads(run, scorer).get(function):
            return function, row
    return SPATIAL[0], None


def removal_row(run: Run, scorer: str, function: str) -> Any:
    """The row of negative.csv for a function's heads under the study's operation, else the first; None without one."""
    rows = only(run.tables["negative"], scorer=scorer, function=function)
    rows = rows[rows["k"] > 0]
    wanted = only(rows, operation=str(run.settings.get("operation") or ""))
    rows = wanted if len(wanted) else rows
    return records(rows)[0] if len(rows) else None


def _heads(run: Run, scorer: str, function: str, row: Any) -> list[str]:
    """The heads that were silenced, else those selected."""
    if row is not None:
        return str(row.heads).split()
    return selected_heads(run, scorer).get(function, [])


def _which(run: Run, scorer: str, function: str, heads: list[str]) -> str:
    selected = max(len(heads), len(selected_heads(run, scorer).get(function, [])))
    # The share of heads that a study silences is limited (`head_share`).
    few = "best was" if len(heads) == 1 else f"{words.count(len(heads))} best were"
    best = "" if selected == len(heads) else f"; the {few} silenced"
    stand = "stands" if selected == 1 else "stand"
    return f"Of the {_total(run)} {words.count(selected)} {stand} out for {_plain(run, function)}{best}:"


def _plain(run: Run, function: str) -> str:
    return words.group(function).lower() if is_one_task(run) else PLAIN[function]


def _total(run: Run) -> str:
    shape, model = run.settings.get("shape"), str(run.settings.get("model") or "this model")
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        return f"{words.count(shape[0] * shape[1])} attention heads of {model},"
    return f"attention heads of {model},"


def _none(run: Run, scorer: str) -> str:
    rows = only(run.tables["selection"], scorer=scorer, selector=headline_selector(run, scorer), function=SPATIAL[0])
    reason = str(rows["reason"].iloc[0]).rstrip(".") if len(rows) else ""
    task = "this task" if is_one_task(run) else "a spatial function"
    how = f" by {words.scorer_title(scorer)}" if len(all_scorers(run)) > 1 else ""
    return f"Of the {_total(run)} none stands out for {task}{how}" + (f": {reason}." if reason else ".")


def _too_few(run: Run) -> tuple[str, ...]:
    """The sentence that says so if split S has too few pictures for any head to be selected."""
    few = run.settings.get("too_few")
    if not isinstance(few, list) or not any(str(one).startswith("Split S ") for one in few):
        return ()
    return (
        "There were too few pictures to distinguish a head from chance, so this does not mean that there are none.",
    )


def _elsewhere(run: Run, scorer: str) -> tuple[str, ...]:
    """The sentence on the other scorers that found heads for a spatial function, if any did."""
    counts = {
        name: len({h for f in SPATIAL for h in selected_heads(run, name).get(f, [])}) for name in all_scorers(run)
    }
    found = [f"{words.count(n)} by {words.scorer_title(name)}" for name, n in counts.items() if n and name != scorer]
    return (f"Other ways of finding heads did select some: {words.listing(found)}.",) if found else ()


def _look(run: Run, function: str, heads: list[str]) -> str:
    rows = only(run.tables["gaze"], function=function)
    if rows.empty:
        return "What they look at was not measured in this run."
    names = [f"L{row.layer}.H{row.head}" for row in records(rows)]
    mine = pd.Series([name in heads for name in names], index=rows.index)
    if not mine.any():
        return "What they look at was not measured in this run."
    own, random, others = rows[mine]["target"].mean(), rows[mine]["random"].mean(), rows[~mine]["target"].mean()
    compared = (
        f"random places of the same size: {words.percent(random, 0)}; all other heads: {words.percent(others, 0)}"
    )
    one = len(heads) == 1
    looking = rows[mine & (rows["low"] > 0) & (rows["target"] > others)].sort_values("target", ascending=False)
    if 0 < len(looking) < mine.sum():  # their mean would be of heads that do different things
        found = [f"L{row.layer}.H{row.head}" for row in records(looking)]
        shares = words.listing([words.percent(row.target, 0) for row in records(looking)])
        looks, whose = ("looks", "its") if len(found) == 1 else ("look", "their")
        n_rest = int(mine.sum()) - len(found)
        rest = f"{words.count(n_rest)} were" if n_rest > 1 else "one was"
        return (
            f"{words.listing(found)} {looks} at what the question asks about, which gets {shares} of {whose} attention "
            f"(random places of the same size: {words.percent(looking['random'].mean(), 0)}; heads that were not selected: "
            f"{words.percent(others, 0)}). The other {rest} not found to look at it."
        )
    if own > random and own > others:
        subject, whose = ("It puts", "its") if one else ("On average they put", "their")
        return f"{subject} {words.percent(own, 0)} of {whose} attention on what the question asks about ({compared})."
    subject, whose = ("It does", "its") if one else ("They do", "their")
    return (
        f"{subject} not look at what the question asks about more than other heads do: {words.percent(own, 0)} of {whose} "
        f"attention is on it ({compared})."
    )


def _shared(run: Run) -> tuple[str, ...]:
    """The sentence on the most damaging redundant group of a spatial function that costs more than random heads, if any."""
    table = run.tables["groups"]
    whole = only(table, part="all")
    whole = whole[
        whole["function"].isin(SPATIAL) & (whole["low"] > 0) & (whole["beyond_low"] > 0) & (whole["p"] <= ALPHA)
    ]
    if whole.empty:
        return ()
    row = records(whole.sort_values("drop", ascending=False))[0]
    alone = only(table[table["group"] == row.group], function=row.function, part="worst_one")
    heads = ", ".join(str(row.heads).split())
    work = f"{words.count(row.k)} heads do the same work in {words.group(row.function).lower()}"
    text = f"{work} and stand in for each other ({heads})."
    falls = "accuracy falls"
    if len(alone):
        falls = "it falls"
        worst = 100 * max(0.0, float(alone["drop"].iloc[0]))
        text += f" Without any one of them, accuracy falls by at most {words.number(worst, 0)} points."
    span = words.interval(words.number(100 * row.low, 0), words.number(100 * row.high, 0))
    return (f"{text} Without all of them, {falls} by {words.number(100 * row.drop, 0)} points (95 % interval {span}).",)


def _without(run: Run, scorer: str, function: str, row: Any) -> tuple[str, tuple[Bar, ...], str]:
    """The third sentence, the bars and their caption."""
    them = "it" if row is not None and row.k == 1 else "them"
    if row is None or not words.known(row.after):
        silenced = [
            words.scorer_title(name) for name in all_scorers(run) if name in set(run.tables["negative"]["scorer"])
        ]
        only_these = f" Only heads found by {words.listing(silenced)} were silenced." if silenced else ""
        return f"What happens without them was not measured.{only_these}", (), ""
    random = row.before - row.random_drop
    text = f"Without {them}, accuracy on these steps {words.becomes(row.before, row.after)}"
    if words.known(random):
        text += (
            f"; without as many random heads it {'is' if random <= row.before else 'becomes'} {words.percent(random)}"
        )
    verdict = removal_verdict(run, scorer, function)
    text += "." if verdict == "supported" else f". {WHY_OPEN.get(verdict, '')}".rstrip()
    if words.known(row.unparsable_after) and row.unparsable_after >= UNREADABLE:
        text += f" {words.percent(row.unparsable_after, 0)} of the answers are then unreadable"
        if words.known(row.parsable_drop):
            fall = (
                f"falls by {words.number(100 * row.parsable_drop, 0)} points"
                if row.parsable_drop > 0
                else "does not fall"
            )
            text += f"; among the other answers, accuracy {fall}"
        text += "."
    k, many = words.count(row.k), row.k != 1
    bars = [
        Bar("All heads", row.before, words.percent(row.before), "intact"),
        Bar(f"Without {'these ' + k if many else 'this head'}", row.after, words.percent(row.after), "without"),
    ]
    caption = f"{words.count(row.n)} steps. Points lost: {words.number(100 * row.drop, 1)}"
    span = words.interval(words.number(100 * row.low, 1), words.number(100 * row.high, 1))
    caption += f" (95 % interval {span})." if span else "."
    if words.known(random):
        name = f"Without {k + ' random heads' if many else 'a random head'}"
        bars.append(Bar(name, random, words.percent(random), "control"))
        spread = words.interval(words.percent(row.before - row.random_high), words.percent(row.before - row.random_low))
        caption += f" Random heads: mean of {words.count(row.n_random)} sets" + (
            f", most from {spread}." if spread else "."
        )
    return text, tuple(bars), caption


def removal_verdict(run: Run, scorer: str, function: str) -> str:
    """The verdict of claim C5a on this function by the heads of `scorer`; "" if it was not judged."""
    for entry in run.claims:
        if entry.get("id") == "C5a" and entry.get("scorer") == scorer:
            for part in entry.get("parts") or []:
                if isinstance(part, dict) and part.get("function") == function:
                    return str(part.get("verdict", ""))
    return ""


def _map(run: Run, scorer: str, function: str) -> Figure | None:
    rows = only(run.tables["scores"], scorer=scorer)
    if function not in set(rows["function"]):
        return None
    largest = float(only(rows, function=function)["value"].abs().max())
    name = f"story-{scorer}"
    chart = function_map(run, scorer, rows, function, name, largest)
    ramp = map_ramp(largest)
    return Figure(name, (chart,), "Which heads", f"Score for {words.group(function).lower()}.", ramp=ramp)


def _shots(run: Run, function: str, heads: list[str]) -> tuple[tuple[Shot, ...], str]:
    """The first picture of results/looking.json on which one of these heads is shown, with up to `N_SHOTS` of them."""
    entries = [entry for entry in run.looking.get("questions") or [] if isinstance(entry, dict)]
    entries.sort(key=lambda entry: entry.get("function") != function)
    for entry in entries:
        shown = [one for one in entry.get("heads") or [] if isinstance(one, dict) and one.get("head") in heads]
        if not shown:
            continue
        shown.sort(key=lambda one: -_number(one.get("target")))
        shots = [Shot(image_uri(run.path, str(entry.get("image") or "")), "asked about")]
        shots += [
            Shot(image_uri(run.path, str(one.get("picture") or "")), _on_target(one), str(one.get("head")))
            for one in shown[:N_SHOTS]
        ]
        return tuple(
            shots
        ), f"“{entry.get('step', '')}” Answer: {entry.get('answer', '')}. Bright: where the head looks."
    return (), ""


def _on_target(one: dict[str, Any]) -> str:
    value = one.get("target")
    return f"{words.percent(value, 0)} on it" if words.known(value) else ""


def _number(value: object) -> float:
    return float(value) if words.known(value) else -math.inf  # type: ignore[arg-type]
