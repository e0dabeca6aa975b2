"""A static site of chosen examples: the same page with its results in a script, which opens from a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.explaining.explain import default_heads
from headatlas.explore.desk import Desk
from headatlas.explore.pictures import png
from headatlas.explore.requests import Asked, JobRequest, Picture
from headatlas.progress import Progress
from headatlas.storage import check_out_folder, write_whole

FILES = ("explore.css", "base.js", "grid.js", "picture.js", "head.js", "mixer.js", "scene.js", "main.js")
MOST_WRITES = 256
"""Heads whose words are part of the site; of a larger model those with the largest effects."""


def export(desk: Desk, out: str | Path, n: int = 6, progress: Progress | None = None) -> Path:
    """Write a static site about `n` steps of the data's questions and return the path of its page.

    The steps are the first ones that need the picture, spatial functions first, one per question; the model's answer may be
    wrong.

    Raises:
        HeadAtlasError: `out` has files of something else, or no question has a step that needs a picture.
    """
    out = Path(out)
    check_out(out)
    chosen = _chosen(desk, n)
    if not chosen:
        raise HeadAtlasError(f"the data {desk.pictures.name!r} have no step that needs a picture")
    cases = []
    for done, asked in enumerate(chosen):
        cases.append(_case(desk, asked))
        if progress is not None:
            progress("examples", done + 1, len(chosen))
    from headatlas.explore.server import read_static

    out.mkdir(parents=True, exist_ok=True)
    document = {"about": {**desk.about(), "start": None}, "cases": cases}
    # In a script's string only "</" and the two line separators could end it early.
    text = json.dumps(document, allow_nan=False).replace("<", "\\u003c")
    write_whole(out / "data.js", f"window.HA_STATIC = {text};\n".encode())
    for name in FILES:
        write_whole(out / name, read_static(name))
    policy = "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src data:; base-uri 'none'"
    page = read_static("explore.html").decode()
    page = page.replace(
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
    )
    page = page.replace('<script src="base.js">', '<script src="data.js"></script>\n<script src="base.js">')
    write_whole(out / "index.html", page.encode())
    return out / "index.html"


def check_out(out: Path) -> None:
    """Raise `HeadAtlasError` unless `out` is a new folder, or one that `export` has written."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "data.js").is_file())):
        raise HeadAtlasError(f"{str(out)!r} must be a new folder, or one that --export has written, got another one")
    check_out_folder(out)


def _chosen(desk: Desk, n: int) -> list[Asked]:
    """One step a question: the first spatial one that needs the picture, else the first that needs it."""
    candidates: list[tuple[bool, Asked]] = []
    for number, question in enumerate(desk.pictures.questions):
        pictured = bool(desk.pictures.full(number).images)
        steps = [(k, step) for k, step in enumerate(question.steps) if step.needs_image and pictured]
        if steps:
            wanted = "spatial_perception" if number % 2 == 0 else "relational_reasoning"
            k, step = next(((k, step) for k, step in steps if step.function == wanted), steps[0])
            asked = Asked(picture=Picture(example=number), question=step.text, step=k)
            candidates.append((step.function != wanted, asked))
    return [asked for _, asked in sorted(candidates, key=lambda pair: pair[0])[:n]]


def _case(desk: Desk, asked: Asked) -> dict[str, Any]:
    def do(kind: str, **more: Any) -> Any:
        return desk.do(JobRequest(kind=kind, asked=asked, **more), lambda what, done, total: None)  # type: ignore[arg-type]

    results = {kind: do(kind) for kind in ("ask", "attention", "effects", "groups")}
    effects = results["effects"]
    order = sorted(range(len(effects["heads"])), key=lambda i: -abs(effects["effect"][i]))
    shown = {str(head) for head in default_heads(desk.vlm)} & {effects["heads"][i] for i in order[:MOST_WRITES]}
    results["writes"] = {head: do("writes", head=head) for head in effects["heads"] if head in shown}
    results["ask"]["snippet"] = ""
    image = desk.pictures.image(asked.picture)
    assert image is not None
    uri = "data:image/png;base64," + base64.b64encode(png(image, 512)).decode()
    plain = {"picture": {"example": asked.picture.example}, "question": asked.question, "step": asked.step}
    return {"asked": plain, "image": uri, "results": results}
