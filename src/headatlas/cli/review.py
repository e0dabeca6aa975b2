"""`headatlas data review` and what comes of it: serve the page, tell the agreement, export the final set. Thin."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from headatlas.errors import HeadAtlasError

Data = Annotated[str, typer.Argument(metavar="DATA", help="Dataset: folder, .parquet or .jsonl file, or hub id.")]
Db = Annotated[Path, typer.Option("--db", help="SQLite file of the votes; made if missing, added to if not.")]
Share = Annotated[float, typer.Option(help="Share of the votes that must agree.")]
MinVotes = Annotated[int, typer.Option(min=1, help="Votes that a step needs to be decided by them.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")]


def add_review_commands(app: typer.Typer) -> None:
    """Add `review`, `review-agreement` and `review-export` to the `data` command line."""
    app.command("review")(review)
    app.command("review-agreement")(review_agreement)
    app.command("review-export")(review_export)


def review(
    data: Data,
    db: Db = Path("votes.sqlite"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8321,
    share: Share = 0.6,
    min_votes: MinVotes = 2,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page on this machine where people accept, fix or reject every step and mark its functions.

    Everyone votes under a name of their own, several at once; every vote is on the disk before it counts. End with
    ctrl-C, begin again with the same command.

    Example: headatlas data review data/vsr-steps --db votes.sqlite
    """
    from headatlas.annotate.review import Rule, VoteStore, serve
    from headatlas.cogvsr import load

    def ready(address: str) -> None:
        typer.echo(f"{address} (votes in {db}; end with ctrl-C)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    dataset = load(data)
    with VoteStore(db, dataset) as store:
        # In the background of a script, where ctrl-C is ignored, the server ends by itself and raises nothing.
        with suppress(KeyboardInterrupt):
            serve(dataset, store, port, Rule(share, min_votes), ready)
        typer.echo(f"stopped; all votes are in {db}: run the same command again to go on")


def review_agreement(data: Data, db: Db = Path("votes.sqlite"), share: Share = 0.6, as_json: Json = False) -> None:
    """Tell how far the annotators agree: pairs, the 60 % rule, Fleiss' kappa, Krippendorff's alpha.

    Example: headatlas data review-agreement data/vsr-steps --db votes.sqlite
    """
    from headatlas.annotate.review import Rule, VoteStore, agreement
    from headatlas.cogvsr import load

    with VoteStore(_there(db), load(data)) as store:
        table, names = agreement(store.votes(), Rule(share, 1)), store.annotators()
    if as_json:
        typer.echo(json.dumps({"annotators": names, "rows": json.loads(table.to_json(orient="records"))}))
        return
    from rich.console import Console
    from rich.table import Table

    title = f"Agreement of {len(names)} people (kappa: Fleiss, on steps x votes; alpha: Krippendorff)"
    shown = Table(title=title, title_justify="left")
    for name in ("", "steps", "votes", "pairs agree", f"{share:.0%} agree", "kappa", "alpha"):
        shown.add_column(name, justify="left" if not name else "right")
    for row in table.to_dict("records"):
        values = (
            _number(row[name], form) for name, form in (("agreement", ".1%"), ("settled", ".1%"), ("alpha", ".3f"))
        )
        pairs, settled, alpha = values
        kappa = _number(row["fleiss"], ".3f")
        on = f" ({row['fleiss_steps']} x {row['fleiss_raters']})" if row["fleiss_steps"] else ""
        shown.add_row(row["what"], str(row["steps"]), str(row["votes"]), pairs, settled, kappa + on, alpha)
    Console().print(shown)


def review_export(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the final dataset; beside it OUT.review.")],
    db: Db = Path("votes.sqlite"),
    share: Share = 0.6,
    min_votes: MinVotes = 2,
    as_json: Json = False,
) -> None:
    """Write the final set: the steps that were kept, as they were fixed, with who, when and why for each.

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
    beside = out.with_name(f"{out.name}.review")
    if as_json:
        facts = {"out": str(out), "review": str(beside), "questions": kept, "steps": steps, "changed": changed}
        typer.echo(json.dumps({**facts, "left_out": states}))
        return
    left = ", ".join(f"{count} {state}" for state, count in states.items())
    typer.echo(
        f"{kept} questions with {steps} steps ({changed} changed) in {out}; left out: {left or 'none'}; see {beside}"
    )


def _there(db: Path) -> Path:
    if not db.exists():
        raise HeadAtlasError(f"{db}: no such file of votes; `headatlas data review` makes it")
    return db


def _number(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"
