"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from headatlas.errors import HeadAtlasError


def refuse_unused(context: typer.Context, names: Iterable[str], use: str) -> None:
    """Refuse options that were given on the command line, although the command would ignore them.

    Args:
        context: typer's context of the call.
        names: names of the parameters.
        use: when they apply, such as "only with --push".

    Raises:
        HeadAtlasError: one of them was given.
    """
    options = {param.name: param.opts[0] for param in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise HeadAtlasError(f"{options[name]} applies {use}: leave it out")


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]

# -- datasets --------------------------------------------------------------------------------------------------------

DATA_HELP = (
    "A source by name (scenes, or scenes-pairs with minimal pairs), the shipped cogvsr-mini, a folder written by `headatlas "
    "data build`, a .parquet or .jsonl file, or a Hugging Face id."
)
DataName = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)]
StoredData = Annotated[
    str, typer.Argument(metavar="DATA", help="Dataset: a folder, a .parquet or .jsonl file, or a Hugging Face id.")
]
NQuestions = Annotated[
    int, typer.Option("--n", "-n", min=1, help="Number of main questions that a named source makes.")
]
DataSeed = Annotated[int, typer.Option("--seed", help="Seed of questions and pictures.")]
Splits = Annotated[
    str,
    typer.Option(
        help="Splits to make: P fits probes, S scores heads, T tunes strengths, E is used once, for the results."
    ),
]
ALL_SPLITS = "P,S,T,E"


def split_names(splits: str) -> tuple[str, ...]:
    """`"P, E"` -> `("P", "E")`."""
    return tuple(name.strip() for name in splits.split(",") if name.strip())


# -- run directories -------------------------------------------------------------------------------------------------

Out = Annotated[
    Path, typer.Option("--out", help="Run directory. Made if it is missing; an unfinished run in it is resumed.")
]
ExistingRun = Annotated[Path, typer.Option("--out", help="Run directory of a study.")]
StudyData = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="CogVSR data: `scenes` (rendered here), `cogvsr-mini` (100 questions, shipped), a folder or file made by "
        "`headatlas data`, or a Hugging Face id. [default: scenes]",
    ),
]
StudyN = Annotated[
    int | None, typer.Option("--n", help="Questions, divided among the splits P, S, T, E (35, 15, 10, 40 %).")
]
StudySeed = Annotated[int | None, typer.Option("--seed", help="Seed of the data and of every random draw.")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", help="`strict` (default), or `paper`: the published choices (gold tokens, elbow, x 0.001)."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another setting, such as `n_random=20` or `alphas=0.5,1`; can be given several times. Names and defaults are "
        "in the settings.json of a run.",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Small numbers for a first look, not for conclusions.")]
Tower = Annotated[
    list[str] | None,
    typer.Option(
        "--tower",
        help="Towers whose heads are ablated one by one and compared: L (language model), V (vision), X (cross-attention), C "
        "(connector), or all; can be given several times. [default: none beside the study of L]",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Run it even if it is done.")]
NewModel = Annotated[
    str | None, typer.Option("--model", help="For a new run: shipped name, folder or Hugging Face id of a VLM.")
]
Devices = Annotated[
    str | None, typer.Option("--devices", help="Devices of this machine, one process each: `cuda:0,cuda:1`.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", help="Run on a Ray cluster: `host:port` of its head node, `auto`, or `local` to start one here."
    ),
]
NWorkers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Workers on the Ray cluster [default: one for each GPU, or each CPU core]."),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="For a new run: where to keep activations and answers instead of the run directory, such as `s3://bucket/run`.",
    ),
]
