"""`headatlas explain`: which heads carry one answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.loading_options import loads_model
from headatlas.cli.output import print_json, shown
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command

if TYPE_CHECKING:
    from headatlas.vlm.loading import Loading


@command("explain", panel="Studies", order=5)
@loads_model
def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Shipped name, folder or Hugging Face id of a VLM.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Path of a picture.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask about it.")],
    answer: Annotated[str | None, typer.Option(help="Answer to explain. [default: the model's own]")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Page to write.")] = Path("explanation.html"),
    groups: Annotated[
        bool, typer.Option("--groups/--no-groups", help="Also look for heads that matter only together.")
    ] = True,
    top: Annotated[int, typer.Option(min=1, help="Heads to print.")] = 10,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Show which heads carry the answer to one question about one picture; print a table and write a page.

    Every head is removed alone to measure its exact effect on the answer. Then heads are removed together.

    Example: headatlas explain ref-llava photo.png "which color is the car?"
    """
    import headatlas as ha
    from headatlas.pictures import open_picture
    from headatlas.storage import check_out_file

    check_out_file(out)  # what is wrong with it and the picture is said before the model is loaded
    picture = open_picture(image)
    vlm = loading.load(model)
    with Bars() as bars:
        found = ha.explain(vlm, picture, question, answer, groups=groups, progress=bars)
    page = found.to_html(out)
    rows = found.table.head(top).to_dict("records")
    if as_json:
        sets = [] if found.groups is None else found.groups.sets.to_dict("records")
        answers = [{"answer": one.text, "p": one.p} for one in found.alternatives]
        print_json(
            {
                "answer": found.answer,
                "said": found.said,
                "answers": answers,
                "heads": rows,
                "sets": sets,
                "page": str(page),
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    from headatlas.explaining.page import percent, signed

    console = Console()
    answers = ", ".join(f"{one.text} {percent(one.p)}" for one in found.alternatives)
    console.print(shown(f"{found.question} {found.answer}"), style="bold")
    console.print(shown(f"probabilities: {answers}"))
    table = Table(title="Without this head", title_justify="left")
    table.add_column("head")
    for name in ("effect, nats", f"p of {found.answer[:20]!r}", "on the picture"):
        table.add_column(shown(name), justify="right")
    table.add_column("the model says")
    for row in rows:
        says = shown(row["says"]) if row["changed"] else shown("the same")
        table.add_row(row["head"], signed(row["effect"]), percent(row["p"]), percent(row["on_picture"]), says)
    console.print(table)
    for row in [] if found.groups is None else found.groups.sets.to_dict("records"):
        if " " in row["heads"]:
            console.print(
                shown(f"together: {row['heads']} {signed(row['effect'])} nats, alone {signed(row['alone'])} in sum")
            )
    console.print(shown(f"page: {page}"))
