"""`headatlas study`: the complete study of one model, or of several with their comparison."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli import options
from headatlas.cli.commands.compare import print_comparison
from headatlas.cli.loading_options import loads_model, recorded
from headatlas.cli.output import print_json, shown
from headatlas.cli.progress import Bars
from headatlas.cli.registry import command
from headatlas.cli.study_options import new_settings, read_settings, workers
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.study.study import Study
    from headatlas.vlm.loading import Loading


@command("study", panel="Studies", order=10, resumes=True)
@loads_model
def study(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Shipped VLMs (`ref-llava`), folders, or Hugging Face ids; one or several."
        ),
    ],
    out: options.Out = Path("runs/study"),
    data: options.StudyData = None,
    n: options.StudyN = None,
    seed: options.StudySeed = None,
    preset: options.Preset = None,
    quick: options.Quick = False,
    settings: options.Set = None,
    tower: options.Tower = None,
    devices: options.Devices = None,
    ray: options.Ray = None,
    n_workers: options.NWorkers = None,
    store: options.Store = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what it would cost: time and memory by stage, measured on the first batches."
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show the running study and the finished part of its report on a page of this machine."
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of --watch on 127.0.0.1; 0 takes a free port.")
    ] = 8323,
    as_json: options.AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Run the complete study of a VLM and write its report. Given several VLMs, compare them as well.

    The stages are: data, evaluation, capture, scores, head selection, interventions, activation, claims, report.html. A study
    that was stopped continues when the same command is given again. With several models, each has its run in OUT/MODEL, and
    OUT/report.html compares them.

    Examples:

      headatlas study ref-llava --out runs/demo

      headatlas study ref-llava Qwen/Qwen2.5-VL-3B-Instruct --out runs/both

      headatlas study Qwen/Qwen2.5-VL-7B-Instruct --data scenes-english --n 800 --out runs/qwen7b

      headatlas study ref-llava --tower V --tower L --out runs/towers

      headatlas study Qwen/Qwen2.5-VL-7B-Instruct --devices cuda:0,cuda:1 --out runs/qwen7b

      headatlas study Qwen/Qwen2.5-VL-7B-Instruct --data data/mine --out runs/mine --dry-run

      headatlas study Qwen/Qwen2.5-VL-7B-Instruct --quantization 4bit --out runs/qwen7b-4bit
    """
    from headatlas.compare import refuse_comparison, run_studies
    from headatlas.study import open_study, run_stages, watching

    if not watch:
        options.refuse_unused(context, ("port",), "only with --watch")
    if len(models) > 1 and (watch or dry_run):
        raise HeadAtlasError(f"--{'watch' if watch else 'dry-run'} needs one model, got {len(models)}; run it for each")
    given = {"data": data, "n": n, "seed": seed, **read_settings(settings)}
    if tower:
        given["towers"] = tower
    if len(models) > 1:
        with Bars() as bars, workers(devices, ray, n_workers) as group:
            run_studies(
                models,
                out,
                preset=preset or "strict",
                quick=quick,
                progress=bars,
                workers=group,
                store=store,
                loading=loading,
                **given,
                **recorded(loading),
            )
        print_comparison(out, as_json)
        return
    refuse_comparison(out)
    chosen = new_settings(models[0], given, preset, quick, loading, out)
    if dry_run:
        _print_plan(open_study(chosen, out, store=store, loading=loading), as_json)
        return
    with Bars() as bars, workers(devices, ray, n_workers) as group:
        opened = open_study(chosen, out, progress=bars, workers=group, store=store, loading=loading)
        opened.check_data()
        page = (
            watching(opened, port, lambda address: typer.echo(f"watch: {address}", err=True), bars)
            if watch
            else nullcontext()
        )
        with page:
            run_stages(opened)
    _print_claims(out, as_json)


def _print_plan(study: Study, as_json: bool) -> None:
    from headatlas.study.plan import plan

    made = plan(study)
    if as_json:
        print_json(
            {
                "stages": made.table.astype(object).where(made.table.notna(), None).to_dict("records"), "seconds": made.seconds,
                "memory_bytes": made.memory, "disk_bytes": made.disk, "device": made.device, "notes": list(made.notes),
            }
        )  # fmt: skip
        return
    for line in str(made).splitlines():
        typer.echo(shown(line).plain)


def _print_claims(out: Path, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from headatlas.formatting import MISSING
    from headatlas.report.notices import at_chance
    from headatlas.report.render import in_short
    from headatlas.report.sections.claims import claim_row
    from headatlas.report.tables import read_run

    claims = json.loads((out / "claims.json").read_text(encoding="utf-8"))["claims"]
    if as_json:
        print_json({"out": str(out), "report": str(out / "report.html"), "claims": claims})
        return
    table = Table("claim", "scorer", "verdict", "effect", "95 % interval", "p", title="Claims")
    for claim in claims:
        row = claim_row(claim)
        known = row["effect"] != MISSING and row["unit"]
        effect = f"{row['effect']} {row['unit']}" if known else row["effect"]
        cells = (f"{claim['id']} {claim['title']}", claim["scorer"], row["verdict"], effect, row["interval"], row["p"])
        table.add_row(*map(shown, cells))
    run = read_run(out)
    if not at_chance(run):  # else the report has no verdicts either
        if any(claim["verdict"] != "not testable here" for claim in claims):
            Console().print(table)
        else:
            print("The paper's claims cannot be tested with this run.")
    for sentence in in_short(run):
        print(sentence)
    print(f"report: {out / 'report.html'}")
