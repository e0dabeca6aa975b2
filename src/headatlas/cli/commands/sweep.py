"""`headatlas sweep`: exact sweeps over single heads, pairs and rankings in a run directory."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headatlas.cli import options
from headatlas.cli.commands.stages import PANEL
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json, shown
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import run_settings, workers
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    import pandas as pd

    from headatlas.study import Settings
    from headatlas.vlm.loading import Loading

SWEEP_OPTIONS = {
    "function": ("pairs", "cumulative", "greedy"),
    "scorer": ("pairs", "cumulative", "greedy"),
    "top": ("pairs", "greedy"),
    "split": ("heads", "pairs", "cumulative"),
    "scope": ("heads", "pairs", "cumulative", "greedy"),
}
"""Which sweeps an option applies to."""

SweepFunction = Annotated[
    list[str] | None,
    typer.Option(
        "--function",
        help="Function of a pairs, cumulative or greedy sweep; can be given several times. [default: the spatial ones]",
    ),
]
SweepScorer = Annotated[
    str | None,
    typer.Option("--scorer", help="Scorer whose ranking or selection these sweeps use. [default: ablation]"),
]
SweepTop = Annotated[
    int | None,
    typer.Option(
        "--top",
        min=1,
        help="Use this many heads from the top of the ranking, instead of those selected (pairs, greedy).",
    ),
]
SweepSplit = Annotated[
    str | None,
    typer.Option(
        "--split", help="Split that a sweep evaluates on, or a part such as E[:100] (not greedy). [default: E]"
    ),
]
SweepScope = Annotated[
    str | None,
    typer.Option(
        "--scope", help="Tokens at which a sweep removes heads: all, image, prompt, answer or last. [default: all]"
    ),
]

SHOWN = 10
"""Rows of a table that are printed."""


@command("sweep", panel=PANEL, order=9, resumes=True)
@loads_model
def sweep(
    kind: Annotated[
        str,
        typer.Argument(
            help="heads (each alone, on every question), pairs (of a function's heads), cumulative (a ranking, head by head) or "
            "greedy (a minimal set, chosen on split S and evaluated on split E)."
        ),
    ],
    out: options.Out = Path("runs/study"),
    function: SweepFunction = None,
    scorer: SweepScorer = None,
    top: SweepTop = None,
    split: SweepSplit = None,
    scope: SweepScope = None,
    devices: options.Devices = None,
    ray: options.Ray = None,
    n_workers: options.NWorkers = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Measure the exact effect of heads, pairs or rankings, print the top ones, and write RUN/sweep/KIND.csv.

    Example: headatlas sweep heads --out runs/demo
    """
    given = {"function": function, "scorer": scorer, "top": top, "split": split, "scope": scope}
    check_sweep_options(kind, given, again=False)
    chosen = run_settings(out, {}, None, False, loading)
    run_and_print(chosen, out, kind, given, devices, ray, n_workers, store, loading, as_json)


def run_and_print(
    settings: Settings,
    out: Path,
    kind: str,
    given: dict[str, Any],
    devices: str | None,
    ray: str | None,
    n_workers: int | None,
    store: str | None,
    loading: Loading,
    as_json: bool,
) -> None:
    """Run a sweep with the given values of `SWEEP_OPTIONS`, and print its files and top heads."""
    from headatlas.study import open_study, run_sweep

    scorer = _scorer(kind, given["scorer"], settings)
    with Bars() as bars, workers(devices, ray, n_workers) as group:
        study = open_study(settings, out, bars, group, store, loading)
        files = run_sweep(study, kind, given["function"], scorer, given["split"], given["scope"] or "all", given["top"])
    if as_json:
        print_json({"command": "sweep", "sweep": kind, "out": str(out), "files": [str(file) for file in files]})
        return
    import pandas as pd

    for file in files:
        if file.suffix == ".csv" and kind in TOP:
            table = pd.read_csv(file, keep_default_na=False)
            _print_top(kind, of_the_task(table) if study.one_task else table)
    print(f"sweep of {kind}: {', '.join(map(str, files))}")
    if (out / "report.html").is_file():
        print(f"to show it in the report: headatlas report --out {shlex.quote(str(out))}")


def of_the_task(table: pd.DataFrame) -> pd.DataFrame:
    """A sweep's table of questions that name no function, with the task's title instead of the function they are kept as."""
    from headatlas.cogvsr.functions import SPATIAL, TASK_TITLE

    return table[table["function"] != ""].replace({"function": {SPATIAL[0]: TASK_TITLE}})  # all steps are the task's


def _print_top(kind: str, table: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    title, columns, rows = TOP[kind](table)
    printed = Table(*columns, title=title, title_justify="left")
    for row in rows:
        printed.add_row(*map(shown, row))
    Console().print(printed)


def top_heads(table: pd.DataFrame) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Of each function the three heads whose removal costs most: title, columns and rows to print."""
    from headatlas.formatting import signed

    rows = []
    for function, part in table.groupby("function", sort=False):
        part = part.assign(loss=part["loss"].map(_number)).nlargest(3, "loss")
        rows += [
            (function or "all steps", f"L{row.layer}.H{row.head}", signed(row.loss, 2), _points(row.drop))
            for row in part.itertuples()
        ]
    return "Heads that cost most", ("function", "head", "nats lost", "accuracy lost, points"), rows


def top_pairs(table: pd.DataFrame) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """The pairs that stand in for each other most."""
    from headatlas.formatting import signed

    part = table.assign(interaction=table["interaction"].map(_number)).dropna(subset="interaction")
    part = part.nlargest(SHOWN, "interaction")
    rows = [
        (row.function, f"{row.head_a} {row.head_b}", signed(_number(row.drop_both), 2), signed(row.interaction, 2))
        for row in part.itertuples()
    ]
    return (
        "Pairs that cost most beyond each head alone",
        ("function", "pair", "nats lost", "beyond the sum"),
        rows + _reasons(table),
    )


def top_of_rankings(table: pd.DataFrame) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """The first steps of each ranking."""
    from headatlas.formatting import percent, signed

    rows = [
        (row.function, str(row.k), row.head or "–", percent(_number(row.accuracy)), signed(_number(row.drop), 2))
        for _, part in table.groupby("function", sort=False)
        for row in part[part["order"] == "ranking"].head(SHOWN).itertuples()
    ]
    return "Rankings, removed head by head", ("function", "heads", "last", "accuracy", "nats lost"), rows


def chosen_sets(table: pd.DataFrame) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """The minimal set of each function."""
    chosen = table[table["move"] == "chosen set, split E"]
    rows = [(row.function, row.head, _points(row.accuracy_drop), str(int(row.n))) for row in chosen.itertuples()]
    return "Minimal sets", ("function", "heads", "accuracy lost on E, points", "steps"), rows + _reasons(table)


TOP = {"heads": top_heads, "pairs": top_pairs, "cumulative": top_of_rankings, "greedy": chosen_sets}
"""What is printed of the table of a sweep."""


def _reasons(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Rows of functions that have nothing to measure."""
    empty = table[table["reason"] != ""]
    return [(row.function, str(row.reason), "", "") for row in empty.itertuples()]


def _number(value: object) -> float:
    return float(value) if value != "" else float("nan")  # type: ignore[arg-type]


def _points(share: object) -> str:
    from headatlas.formatting import points

    return points(_number(share))


def check_sweep_options(sweep: str | None, given: dict[str, Any], again: bool) -> None:
    """Refuse options that the sweep, or the stage without a sweep, would ignore, and unknown names.

    Args:
        sweep: name of the sweep, None for the stage.
        given: values of the options in `SWEEP_OPTIONS`, None for those left out.
        again: whether `--again` was given.
    """
    from headatlas.cogvsr.functions import FUNCTIONS
    from headatlas.heads import SCOPES
    from headatlas.study import SWEEPS

    if sweep is not None:
        _one_of("the sweep", sweep, tuple(SWEEPS))
    for name, value in given.items():
        if value is None:
            continue
        if sweep is None:
            raise HeadAtlasError(
                f"--{name} applies only to a sweep: add --sweep {', '.join(SWEEP_OPTIONS[name])}, or leave it out"
            )
        if sweep in ("heads", "pairs", "cumulative", "greedy") and sweep not in SWEEP_OPTIONS[name]:
            raise HeadAtlasError(
                f"--{name} does not apply to a sweep of {sweep}, only to {', '.join(SWEEP_OPTIONS[name])}: leave it out"
            )
    if sweep is not None and again:
        raise HeadAtlasError("--again applies only to the stage; a sweep always runs again: leave it out")
    for name in given["function"] or ():
        _one_of("--function", name, FUNCTIONS)
    if given["scope"] is not None:
        _one_of("--scope", given["scope"], tuple(SCOPES))


def _scorer(kind: str, scorer: str | None, settings: Settings) -> str:
    """The scorer of a sweep: the one named, else exact ablation if the run has it, else the run's first."""
    if scorer is not None:
        return _one_of("--scorer", scorer, settings.scorers)
    return "ablation" if "ablation" in settings.scorers else settings.scorers[0]


def _one_of(option: str, name: str, names: tuple[str, ...]) -> str:
    from headatlas.registry import near

    if name not in names:
        raise HeadAtlasError(f"{option} must be one of {', '.join(names)}; got {name!r}{near(name, names)}")
    return name
