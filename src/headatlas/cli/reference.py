"""`headatlas reference`: list the shipped VLMs, show a model card, train one again. Thin: parses, calls, prints.

Results go to stdout, progress to stderr. Errors are `HeadAtlasError`s, which the command line's entry prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

reference_app = typer.Typer(
    name="reference",
    no_args_is_help=True,
    help="The VLMs that ship with HeadAtlas: small real models, trained by this project, with no download.",
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")]


@reference_app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the shipped models and where they lie.

    Example: headatlas reference list
    """
    from headatlas.reference import names, path

    if as_json:
        print(json.dumps({name: str(path(name)) for name in names()}))
        return
    for name in names():
        print(f"{name}\t{path(name)}")


@reference_app.command()
def card(name: Annotated[str, typer.Argument(help="A name that `list` prints.")] = "ref-llava") -> None:
    """Print a shipped model's card: what it is, how it was trained, how well it answers.

    Example: headatlas reference card ref-llava
    """
    from headatlas.reference import path

    print((path(name) / "README.md").read_text(), end="")


@reference_app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the finished model and its card.")],
    family: Annotated[str, typer.Option(help="Architecture: llava, qwen2_5_vl, internvl or gemma3.")] = "llava",
    work: Annotated[
        Path,
        typer.Option(
            help="Folder for scenes (1 GB, rendered once for all families) and, in a folder a family, checkpoints and "
            "log.jsonl; a run begun there goes on."
        ),
    ] = Path("runs/reference"),
    minutes: Annotated[
        float | None,
        typer.Option(help="About how long to train on two cores; by default as the shipped models were trained."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share each batch; one a core.")] = 2,
    seed: Annotated[int, typer.Option(help="Of weights, scenes and batches.")] = 0,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile the language model (needs a C++ compiler; faster).")
    ] = True,
    questions: Annotated[
        int, typer.Option(min=1, help="Held-out questions (split E) that the card's figures are of.")
    ] = 600,
) -> None:
    """Train a reference VLM from scratch on scenes of split "train": seeing, looking up by name, then conversations.

    Killed at any time and run again with the same options, it goes on where it was and ends the same.

    Example: headatlas reference train --family qwen2_5_vl --out runs/my-qwen --minutes 70
    """
    from dataclasses import replace

    from headatlas.reference.card import measure, write_card
    from headatlas.reference.recipe import Recipe
    from headatlas.reference.train import train as run

    recipe = replace(Recipe.of(family), seed=seed, compiled=compiled)
    if minutes is not None:
        recipe = recipe.scaled(minutes)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    run(recipe, work / family, out, processes, say, scenes=work)
    write_card(out, recipe, processes, measure(out, questions, say=say))
    print(out)
