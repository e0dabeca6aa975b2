"""Draw docs/rooms.svg, the picture of the rooms, from `.importlinter`: `python docs/draw_rooms.py`."""

from __future__ import annotations

import configparser
from pathlib import Path

HERE = Path(__file__).parent
MEANING = {
    "cli": "commands: parse, call, print",
    "explore": "the live page",
    "explaining": "the heads behind one answer",
    "compare": "several studies side by side",
    "study": "stages, settings, claims, resume",
    "report": "charts and report.html, from tables alone",
    "truth": "worlds whose truth is known",
    "latent": "latent heads; methods that activate them",
    "scoring": "scorers, null distributions, selectors, atlas",
    "intervention": "conditions, controls, effects",
    "engine": "many edits in one pass",
    "activations": "capture and its store",
    "cluster": "shards on devices and machines",
    "reference": "the VLMs that ship, and their training",
    "vlm": "load, chat, batch, read, generate, evaluate",
    "proof": "checks of every model family",
    "families": "what model families need",
    "annotate": "steps by an LLM, judged, reviewed",
    "importing": "outside datasets, one file a set",
    "scenes": "rendered scenes with exact truth",
    "answers": "parse, compare and score answers in free text",
    "cogvsr": "the dataset: schema, store, checks, export",
    "heads": "find, read and edit heads and attention",
    "results": "every results table once",
    "bounded_body": "decode HTTP bodies, bounded",
    "peak_memory": "memory used so far",
    "plain_json": "values as JSON can hold them",
    "pictures": "open pictures safely, upright, in RGB",
    "folder": "folders on disk or object storage",
    "local_page": "serve a page on this machine",
    "printing": "short repr of data classes",
    "registry": "named extension points",
    "formatting": "numbers as text for people",
    "progress": "the progress protocol",
    "shipped": "names of the VLMs that ship",
    "stopping": "stop signals",
    "transformers_bars": "progress bars of transformers, off",
    "stats": "bootstrap, tests, corrections",
    "storage": "whole, sealed and locked files",
    "errors": "HeadAtlasError",
}
WIDTH, ROW, LEFT = 760, 34, 170


def layers() -> list[list[str]]:
    """The rooms, top layer first; those in one list do not import each other."""
    config = configparser.ConfigParser()
    config.read(HERE.parent / ".importlinter")
    lines = config["importlinter:contract:rooms"]["layers"].split("\n")
    rows = [[name.strip(" ()") for name in line.split("|")] for line in lines if line.strip()]
    room = HERE.parent / "src" / "headatlas"
    rows = [[name for name in row if (room / name).is_dir() or (room / f"{name}.py").is_file()] for row in rows]
    return [row for row in rows if row]


def draw() -> str:
    """The picture as SVG text."""
    parts: list[str] = []
    y = 14
    for row in layers():
        height = ROW * len(row)
        parts.append(f'<rect x="10" y="{y}" width="{WIDTH - 20}" height="{height - 4}" rx="5" class="room"/>')
        for number, name in enumerate(row):
            middle = y + ROW * number + ROW // 2 + 2
            parts.append(f'<text x="26" y="{middle}" class="name">{name}</text>')
            parts.append(f'<text x="{LEFT}" y="{middle}" class="says">{MEANING[name]}</text>')
        y += height
    style = (
        "text{font:15px system-ui,sans-serif;fill:#1f2933}.name{font-weight:600}.says{fill:#52606d}"
        ".room{fill:#f5f7fa;stroke:#9aa5b1}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" role="img" '
        f'aria-label="The rooms of HeadAtlas, each importing only rooms below it"><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    (HERE / "rooms.svg").write_text(draw(), encoding="utf-8")
