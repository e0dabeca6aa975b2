"""`headatlas study`, and every stage of it as a command of its own on the same run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from headatlas.cli.progress import Bars
from headatlas.errors import HeadAtlasError

Out = Annotated[Path, typer.Option("--out", help="Run directory. Made if missing; an unfinished run in it goes on.")]
Data = Annotated[
    str | None,
    typer.Option(help="CogVSR data: `scenes` (rendered here), a folder or file made by `headatlas data`, or a hub id."),
]
Count = Annotated[int | None, typer.Option("--n", help="Questions, dealt to the splits P, S, T, E (35, 15, 10, 40 %).")]
Seed = Annotated[int | None, typer.Option(help="Seed of the data and of every random draw.")]
PresetName = Annotated[
    str,
    typer.Option(
        "--preset", help="`strict` (default) or `paper`: the published choices (gold tokens, elbow, x 0.001)."
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Small numbers for a first look; not for conclusions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Model = Annotated[
    str | None, typer.Option("--model", help="Only for a new run: shipped name, folder or Hugging Face id of a VLM.")
]

_STAGE_HELP = {
    "evaluate": "Answer every step: with and without the image, in gold and own context.",
    "capture": "Run the model over all steps and keep z of every head at the chosen tokens.",
    "score": "Score every head for every function: paper's probe (A1), linear probe (A2), exact ablation (A3).",
    "select": "Select each function's heads against the null; sparsity, counts and overlap.",
    "ablate": "Take heads away: negative intervention with random controls, damage matrix, dose curves.",
    "steer": "Steer heads toward right answers: strength tuned on T, effect on E, with controls.",
    "activate": "Spatial head activation (SHA): boxes, masks and their controls.",
    "report": "Worked examples, claims, charts and report.html.",
}


def add_study_commands(app: typer.Typer) -> None:
    """Add `study` and the stage commands to the command line."""
    app.command("study")(study)
    for name, text in _STAGE_HELP.items():
        app.command(name, help=f"{text}\n\nWorks on a run directory: `headatlas {name} --out runs/demo`.")(
            _command(name)
        )


def study(
    model: Annotated[str, typer.Argument(help="A shipped VLM (`ref-llava`), a folder, or a Hugging Face id.")],
    out: Out = Path("runs/study"),
    data: Data = None,
    n: Count = None,
    seed: Seed = None,
    preset: PresetName = "strict",
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Run the complete study of a VLM and write its report.

    Data, evaluation, capture, scores, head selection, interventions, activation, claims, report.html. Killed at any time and
    run again, it goes on where it was.

    Examples:

      headatlas study ref-llava --out runs/demo

      headatlas study Qwen/Qwen2.5-VL-7B-Instruct --data scenes --n 800 --out runs/qwen7b
    """
    from headatlas.study import make_settings, open_study, run_stages

    settings = make_settings(model, preset=preset, quick=quick, data=data, n=n, seed=seed)
    with Bars() as bars:
        opened = open_study(settings, out, progress=bars)
        run_stages(opened)
    _tell(out, as_json)


def _command(name: str) -> Any:
    def run(
        out: Out = Path("runs/study"),
        model: Model = None,
        data: Data = None,
        n: Count = None,
        seed: Seed = None,
        preset: PresetName = "strict",
        quick: Quick = False,
        again: Annotated[bool, typer.Option("--again", help="Run it even if it is done.")] = False,
        as_json: AsJson = False,
    ) -> None:
        from headatlas.study import kept_settings, make_settings, open_study, run_command

        kept = kept_settings(out)
        given = {"model": model, "data": data, "n": n, "seed": seed}
        if kept is None:
            if model is None:
                raise HeadAtlasError(
                    f"no run in {str(out)!r} yet: name the model with --model, or another folder with --out"
                )
            rest = {key: value for key, value in given.items() if key != "model"}
            kept = make_settings(model, preset=preset, quick=quick, **rest)
        else:
            for key, value in given.items():
                if value is not None and value != getattr(kept, key):
                    raise HeadAtlasError(
                        f"{str(out)!r} holds a run with {key}={getattr(kept, key)!r}, came {value!r}: name another folder"
                    )
        with Bars() as bars:
            ran = run_command(open_study(kept, out, progress=bars), name, again=again)
        if as_json:
            print(json.dumps({"command": name, "ran": ran, "out": str(out), "files": _files(out)}))
        else:
            told = f"ran {', '.join(ran)}" if ran else "was done already (use --again to run it anew)"
            print(f"{name}: {told}; results in {out / 'results'}")

    run.__name__ = name
    return run


def _files(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in (out / "results").glob("*"))


def _tell(out: Path, as_json: bool) -> None:
    claims = json.loads((out / "claims.json").read_text(encoding="utf-8"))["claims"]
    if as_json:
        print(json.dumps({"out": str(out), "report": str(out / "report.html"), "claims": claims}))
        return
    table = Table("claim", "scorer", "verdict", "effect", "95 % interval", "p", title="Claims")
    for claim in claims:
        bounds = "" if claim["low"] is None else f"{claim['low']:.3f} .. {claim['high']:.3f}"
        effect = "" if claim["effect"] is None else f"{claim['effect']:.3f}"
        p = "" if claim["p"] is None else f"{claim['p']:.3g}"
        table.add_row(f"{claim['id']} {claim['title']}", claim["scorer"], claim["verdict"], effect, bounds, p)
    Console().print(table)
    print(f"report: {out / 'report.html'}")
