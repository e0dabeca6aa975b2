"""`headatlas grade` and `headatlas calibrate`: how often scorers of heads, and claims, are right where the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli.progress import Bars
from headatlas.cli.registry import command

PANEL = "Truth"


@command("grade", panel=PANEL, order=10)
def grade(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for grades.csv, summary.csv, latent.csv, grading.md and charts.")
    ],
    world: Annotated[
        list[str] | None,
        typer.Option("--world", help="A planted world: shipped name or folder. [default: all that ship]"),
    ] = None,
    null: Annotated[
        list[str] | None,
        typer.Option("--null", help="A null world, as MODEL:twin or MODEL:exchanged. [default: both of ref-llava]"),
    ] = None,
    latent: Annotated[
        list[str] | None,
        typer.Option(
            "--latent",
            help="A latent world, as MODEL:LAYOUT:FACTOR (a seed, and the factor of the drawn heads). Other "
            "worlds are then left out unless they are given too.",
        ),
    ] = None,
    scorers: Annotated[str, typer.Option(help="Names of scorers, separated by commas.")] = (
        "backup,ablation,specificity,multihead,attention,linear,paper,variance,norm,random"
    ),
    selectors: Annotated[str, typer.Option(help="Names of selectors, separated by commas.")] = "functional,null",
    n: Annotated[int, typer.Option("--n", min=40, help="Questions for each world.")] = 400,
    seeds: Annotated[int, typer.Option(min=1, help="Sets of scenes for each world.")] = 1,
) -> None:
    """Run scorers, and the finder of latent heads, on models whose truth is known (worlds), and grade the heads they find.

    Examples:

      headatlas grade --out runs/grade --scorers ablation,linear

      headatlas grade --out runs/latent --latent ref-gemma:1:0.1 --latent ref-gemma:1:0
    """
    from functools import partial

    import pandas as pd

    from headatlas import shipped
    from headatlas.errors import HeadAtlasError
    from headatlas.scoring import SCORERS, SELECTORS
    from headatlas.storage import check_out_folder
    from headatlas.truth.chart import save_grading_charts
    from headatlas.truth.grade import grade_case, null_case, planted_case, scored, summary
    from headatlas.truth.latent import find_latent, grade_latent, latent_world, parse_latent
    from headatlas.truth.page import grading_page, latent_page

    check_out_folder(out)
    names, chosen = [SCORERS[name].name for name in _parts(scorers)], _parts(selectors)
    if not names or not chosen:
        raise HeadAtlasError(
            f"--scorers and --selectors must each name at least one, got {scorers!r} and {selectors!r}"
        )
    for name in chosen:
        SELECTORS[name]  # an unknown one is refused before anything is run
    faint = [parse_latent(one) for one in latent or ()]
    only = bool(faint) and not world and not null
    worlds = [] if only else list(world or shipped.worlds())
    nulls = [] if only else [one.rpartition(":")[::2] for one in (null or ["ref-llava:twin", "ref-llava:exchanged"])]
    if not worlds and not faint and not nulls:
        raise HeadAtlasError(
            "grading needs a world: plant one with `headatlas reference plant`, or give --world or --null"
        )
    made = [partial(planted_case, one) for one in worlds] + [partial(null_case, *one) for one in nulls]
    parts, found = [], []
    with Bars() as progress:
        for model, layout, factor in faint * seeds:
            made_faint = latent_world(model, layout, factor)
            table = find_latent(made_faint, n=n, seed=len(found) // len(faint), progress=progress)
            found.append(grade_latent(made_faint, table))
        for done, make in enumerate(made * seeds):
            case = make(n=n, seed=done // len(made))
            parts.append(grade_case(case, scored(case, names, progress=progress), chosen))
            out.mkdir(parents=True, exist_ok=True)
            pd.concat(parts, ignore_index=True).to_csv(out / "grades.csv", index=False)  # what is done survives a stop
    out.mkdir(parents=True, exist_ok=True)
    page = []
    if parts:
        grades = pd.concat(parts, ignore_index=True)
        summary(grades).to_csv(out / "summary.csv", index=False)
        page.append(grading_page(grades))
        save_grading_charts(grades, out, "functional" if "functional" in chosen else chosen[0])
        print(summary(grades).round(3).to_string(index=False))
    if found:
        grades = pd.concat(found, ignore_index=True)
        grades.to_csv(out / "latent.csv", index=False)
        page.append(latent_page(grades))
        print(latent_page(grades))
    (out / "grading.md").write_text("\n".join(page), encoding="utf-8")
    print(out)


@command("calibrate", panel=PANEL, order=20)
def calibrate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for verdicts.csv, rates.csv and calibration.md.")],
    scorer: Annotated[str, typer.Option(help="Name of a scorer that works on synthetic worlds.")] = "backup",
    seeds: Annotated[int, typer.Option(min=1, help="Worlds of each kind.")] = 20,
    questions: Annotated[int, typer.Option(min=80, help="Questions of each world, all splits together.")] = 750,
) -> None:
    """Study synthetic worlds and count how often each claim is supported where it is true and where it is false.

    Example: headatlas calibrate --out runs/calibration --seeds 5
    """
    from headatlas.scoring import SCORERS
    from headatlas.storage import check_out_folder
    from headatlas.truth.calibrate import Sizes, rates
    from headatlas.truth.calibrate import calibrate as run
    from headatlas.truth.page import calibration_page

    check_out_folder(out)
    with Bars() as progress:
        found = run(range(seeds), SCORERS[scorer].name, sizes=Sizes(questions), progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    found.to_csv(out / "verdicts.csv", index=False)
    rates(found).to_csv(out / "rates.csv", index=False)
    (out / "calibration.md").write_text(calibration_page(found), encoding="utf-8")
    print(rates(found).round(3).to_string(index=False))
    print(out)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
