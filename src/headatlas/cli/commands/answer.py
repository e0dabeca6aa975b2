"""`headatlas answer`: ask a model one question about one picture, with or without a head recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json
from headatlas.cli.registry import command
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading


@command("answer", panel="Data and models", order=5)
@loads_model
def answer(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Shipped name, folder or Hugging Face id of a VLM.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    recipe: Annotated[
        Path | None, typer.Option(help="Folder of a head recipe, as `headatlas activate` keeps them in RUN/recipes.")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Answer without the recipe as well.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of tokens of the answer.")] = 32,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Ask a model one question about one picture.

    Example:

      headatlas answer ref-llava photo.png "is the red star left of the blue car?" --recipe runs/a/recipes/gain.recipe --compare
    """
    from headatlas.pictures import open_picture
    from headatlas.vlm import HeadRecipe

    if not question.strip():
        raise HeadAtlasError("question must be a text, got an empty one")
    if compare and recipe is None:
        raise HeadAtlasError("--compare applies only with --recipe: add one, or leave it out")
    picture = open_picture(image)
    kept = None if recipe is None else HeadRecipe.load(recipe)
    vlm = (loading if kept is None else loading.like(kept)).load(model)
    answers = {}
    if kept is None or compare:
        answers["without" if compare else "answer"] = vlm.answer(picture, question, max_new_tokens)
    if kept is not None:
        with kept.applied(vlm):
            answers["with" if compare else "answer"] = vlm.answer(picture, question, max_new_tokens)
    if as_json:
        print_json({"model": model, "recipe": None if recipe is None else str(recipe), **answers})
        return
    for name, text in answers.items():
        print(text if len(answers) == 1 else f"{name:8}{text}")
