"""`headatlas data review`, `review-agreement` and `review-export`: steps reviewed by people."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.data_build import PANEL
from headatlas.cli.output import print_json, shown
from headatlas.cli.registry import command
from headatlas.errors import HeadAtlasError
from headatlas.storage import beside

Db = Annotated[Path, typer.Option("--db", help="SQLite file of the votes; made if it is missing.")]
Share = Annotated[float, typer.Option(help="Share of votes that must agree.")]
MinVotes = Annotated[int, typer.Option(min=1, help="Number of votes that a step needs to be decided.")]


@command("data review", panel=PANEL, order=50, resumes=True)
def review(
    data: options.StoredData,
    db: Db = Path("votes.sqlite"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free port.")] = 8321,
    share: Share = 0.6,
    min_votes: MinVotes = 2,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page on this machine on which people accept, fix or reject every step and mark its functions.

    Several people can vote at once, each under a name. Every vote is saved before it counts. Stop with Ctrl-C and continue
    with the same command.

    Example: headatlas data review data/vsr-steps --db votes.sqlite
    """
    from headatlas.annotate.review import Rule, VoteStore, serve
    from headatlas.cogvsr import load

    def ready(address: str) -> None:
        typer.echo(f"{address} (votes in {db}; stop with Ctrl-C)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    dataset = load(data)
    with VoteStore(db, dataset) as store:
        # In the background of a script, where Ctrl-C is ignored, the server ends by itself and raises nothing.
        with suppress(KeyboardInterrupt):
            serve(dataset, store, port, Rule(share, min_votes), ready)
        typer.echo(f"stopped; all votes are in {db}: run the same command again to go on")


@command("data review-agreement", panel=PANEL, order=51)
def review_agreement(
    data: options.StoredData, db: Db = Path("votes.sqlite"), share: Share = 0.6, as_json: options.AsJson = False
) -> None:
    """Print how far the annotators agree: pairs, the 60 % rule, Fleiss' kappa, Krippendorff's alpha.

    Example: headatlas data review-agreement data/vsr-steps --db votes.sqlite
    """
    from headatlas.annotate.review import Rule, VoteStore, agreement
    from headatlas.cogvsr import load

    with VoteStore(_there(db), load(data)) as store:
        table, names = agreement(store.votes(), Rule(share, 1)), store.annotators()
    if as_json:
        print_json({"annotators": names, "rows": table.to_dict("records")})
        return
    from rich.console import Console
    from rich.table import Table

    title = f"Agreement of {len(names)} people (kappa: Fleiss, on steps x votes; alpha: Krippendorff)"
    printed = Table(title=title, title_justify="left")
    for name in ("", "steps", "votes", "pairs agree", f"{share:.0%} agree", "kappa", "alpha"):
        printed.add_column(name, justify="left" if not name else "right")
    for row in table.to_dict("records"):
        values = (
            _number(row[name], form) for name, form in (("agreement", ".1%"), ("settled", ".1%"), ("alpha", ".3f"))
        )
        pairs, settled, alpha = values
        kappa = _number(row["fleiss"], ".3f")
        on = f" ({row['fleiss_steps']} x {row['fleiss_raters']})" if row["fleiss_steps"] else ""
        printed.add_row(shown(row["what"]), str(row["steps"]), str(row["votes"]), pairs, settled, kappa + on, alpha)
    Console().print(printed)


@command("data review-export", panel=PANEL, order=52)
def review_export(
    data: options.StoredData,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the final dataset; OUT.review is made next to it.")
    ],
    db: Db = Path("votes.sqlite"),
    share: Share = 0.6,
    min_votes: MinVotes = 2,
    as_json: options.AsJson = False,
) -> None:
    """Write the final set: the accepted and fixed steps, and for each who decided, when and why.

    Example: headatlas data review-export data/vsr-steps --db votes.sqlite --out data/vsr-final
    """
    from headatlas.annotate.review import Rule, VoteStore, export
    from headatlas.cogvsr import load

    dataset = load(data)
    with VoteStore(_there(db), dataset) as store:
        result = export(dataset, store, out, Rule(share, min_votes))
    states: dict[str, int] = {}
    for _, state, _ in result.left_out:
        states[state] = states.get(state, 0) + 1
    kept, steps = len(result.steps), sum(map(len, result.steps.values()))
    changed = sum(1 for record in result.provenance if record["final_step"] is not None and record["changed"])
    record = beside(out, ".review")
    if as_json:
        facts = {"out": str(out), "review": str(record), "questions": kept, "steps": steps, "changed": changed}
        print_json({**facts, "left_out": states})
        return
    left = ", ".join(f"{count} {state}" for state, count in states.items())
    typer.echo(
        f"{kept} questions with {steps} steps ({changed} changed) in {out}; left out: {left or 'none'}; see {record}"
    )


def _there(db: Path) -> Path:
    if not db.exists():
        raise HeadAtlasError(f"no such file of votes: {db}; `headatlas data review` makes it")
    return db


def _number(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"
