"""What the sweeps of a run say about each head, for the page: effects of single heads, pairs, and minimal sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.results.sweep_files import Sweep, read_sweeps

PAIRS = 12
"""Pairs of each function at most: those that depart most from the sum of their single effects."""


def sweeps_document(root: Path, titles: Mapping[str, str]) -> dict[str, Any]:
    """The sweeps of the run in `root`.

    Args:
        root: the run directory.
        titles: names of the functions for people.

    Returns:
        `heads`: a score like those of the study's scorers (name, label, unit, values [L][H] by function), with a `note` on
        where it was measured, or None; `pairs` and `sets`: for each function those found; `left_out`: sentences.

    Raises:
        HeadAtlasError: a file was changed or is of another run.
    """
    sweeps = read_sweeps(root)
    done = sweeps.done
    return {
        "heads": _heads(done["heads"]) if "heads" in done else None,
        "pairs": _pairs(done["pairs"], titles) if "pairs" in done else [],
        "sets": _sets(done["greedy"], titles) if "greedy" in done else [],
        "left_out": list(sweeps.left_out),
    }


def _heads(sweep: Sweep) -> dict[str, Any]:
    table = sweep.table
    values, steps = {}, {}
    for function, part in table[table["function"] != ""].groupby("function", sort=False):
        grid = part.pivot(index="layer", columns="head", values="loss")
        values[function] = grid.to_numpy().round(5).tolist()
        steps[function] = int(part["n"].iloc[0])
    return {
        "name": "sweep",
        "label": "Sweep of single heads",
        "unit": "nats",
        "values": values,
        "steps": steps,
        "note": f"Measured on split {sweep.split} of the study; no head was chosen.",
    }


def _pairs(sweep: Sweep, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    table = sweep.table[sweep.table["reason"] == ""]
    found = []
    for function, part in table.groupby("function", sort=False):
        part = part.loc[part["interaction"].abs().nlargest(PAIRS).index].sort_values("interaction", ascending=False)
        rows = part[["head_a", "head_b", "drop_both", "interaction", "low", "high"]].round(4)
        found.append(
            {
                "function": function,
                "title": titles.get(str(function), function),
                "pairs": [{key: _plain(value) for key, value in row.items()} for row in rows.to_dict("records")],
                "note": _where(sweep),
            }
        )
    return found


def _sets(sweep: Sweep, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for row in sweep.table[sweep.table["move"].str.startswith("chosen")].to_dict("records"):
        random = sweep.table[
            (sweep.table["function"] == row["function"]) & sweep.table["move"].str.startswith("random")
        ]
        found.append(
            {
                "function": row["function"],
                "title": titles.get(str(row["function"]), row["function"]),
                "heads": str(row["head"]).split(),
                "drop": _plain(row["accuracy_drop"]),
                "low": _plain(row["low"]),
                "high": _plain(row["high"]),
                "random": _plain(random["accuracy_drop"].iloc[0]) if len(random) else None,
                "note": f"Chosen on split S, measured on split {sweep.split}.",
            }
        )
    return found


def _where(sweep: Sweep) -> str:
    if sweep.chosen_here:
        return (
            f"Measured on split {sweep.split}, on which the heads were chosen: exploratory, the effects look too large."
        )
    return f"Measured on split {sweep.split}; the heads were chosen on split {sweep.scored_on}."


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and pd.isna(value) else value
