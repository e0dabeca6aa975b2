"""Write a contact sheet of a dataset: one self-contained HTML page with images, questions and steps, for people to read.

Every text comes from a dataset and is escaped; images are embedded, so that the page needs no other file and no network.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
from PIL import Image

from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, SPATIAL, TASK, TASK_TITLE, TITLES
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError

COLORS: dict[str, str] = {
    "spatial_perception": "#1f77d0",
    "relational_reasoning": "#7a4fd0",
    "low_level_perception": "#e0a100",
    "high_level_perception": "#2e9e5b",
    "information_extraction": "#7d8597",
    "knowledge_recall": "#c2568f",
    "math_reasoning": "#e0652d",
    "decision_making": "#15a3a8",
}
"""One colour per function; always shown with the function's name, so that the page can be read without colours."""

_PIXELS = 416
"""Images are embedded at most this wide and high: twice their size on the page, for sharp screens."""


def _data_uri(image: Image.Image) -> str:
    """The image as a JPEG data URI."""
    small = image.copy()
    small.thumbnail((_PIXELS, _PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def write_preview(data: CogVSR, out: str | Path, n: int = 60, title: str = "CogVSR") -> Path:
    """Write the page for `n` questions, evenly spaced through the dataset (all if it has fewer); return its path.

    About 30 kB per question. Raises `HeadAtlasError` if `n` is not positive or the page cannot be written.
    """
    if n < 1:
        raise HeadAtlasError(f"n must be at least 1, got {n}")
    count = min(n, len(data))
    questions = (data[i * len(data) // count] for i in range(count))
    cards = [(q.model_copy(update={"images": ()}), [_data_uri(image) for image in q.images]) for q in questions]
    one_task = all(step.kind == TASK for q, _ in cards for step in q.steps)
    loader = jinja2.PackageLoader("headatlas.cogvsr")
    page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    html = page.get_template("preview.html.j2").render(
        title=title,
        total=len(data),
        cards=cards,
        splits=list(dict.fromkeys(q.split for q, _ in cards)),
        families=sorted({q.family for q, _ in cards if q.family}),
        functions=SPATIAL[:1] if one_task else FUNCTIONS,
        titles={SPATIAL[0]: TASK_TITLE} if one_task else TITLES,
        meanings={SPATIAL[0]: "the questions name no functions"} if one_task else MEANINGS,
        one_task=one_task,
        colors=COLORS,
    )
    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise HeadAtlasError(f"cannot write the preview to {path} ({error.strerror or error})") from error
    return path
