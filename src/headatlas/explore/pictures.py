"""The pictures of the page: those of the data, scenes, and uploads, which are kept in memory only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import random
import threading
from itertools import islice
from typing import Any

from cachetools import FIFOCache
from PIL import Image

from headatlas.cogvsr.functions import TASK
from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.explore.requests import DrawnScene, Picture, Upload
from headatlas.pictures import open_picture

MOST_UPLOADS = 32
"""Uploaded pictures that are kept; the oldest are dropped first."""
MOST_EXAMPLES = 200
"""Questions of the data that the page offers."""


class Pictures:
    """Pictures by the page's names for them.

    Args:
        questions: the data's questions; the first 200 are offered.
        name: what the data are loaded by, for snippets.
        n: how many questions a named source made, for snippets; None for stored data.
    """

    def __init__(self, questions: Any, name: str, n: int | None = None) -> None:
        self.name = name
        self.load_code = f"ha.cogvsr.load({name!r})" if n is None else f"ha.cogvsr.load({name!r}, n={n})"
        self._data = questions
        light = questions.without_images() if hasattr(questions, "without_images") else questions
        self.questions: list[Question] = list(islice(light, MOST_EXAMPLES))
        """The questions that are offered; `full` has their pictures."""
        self.one_task = any(step.kind == TASK for question in self.questions for step in question.steps)
        """Whether the questions name no functions."""
        self._uploads: FIFOCache[str, tuple[str, Image.Image]] = FIFOCache(MOST_UPLOADS)
        self._lock = threading.Lock()

    def add(self, upload: Upload) -> dict[str, Any]:
        """Keep an uploaded picture; returns its name on the page and its size. `HeadAtlasError` if it is no picture."""
        try:
            data = base64.b64decode(upload.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HeadAtlasError("the upload must be base64") from error
        image = open_picture(data)
        name = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            self._uploads[name] = (upload.name, image)
        return {"upload": name, "width": image.width, "height": image.height}

    def full(self, number: int) -> Question:
        """A question of the data with its pictures, which are decoded now."""
        if number >= len(self.questions):
            raise HeadAtlasError(f"example must be 0 to {len(self.questions) - 1}, got {number}")
        with self._lock:
            return self._data[number]

    def question(self, picture: Picture) -> Question:
        """The question of the data that an example's picture belongs to, with its pictures."""
        assert picture.example is not None
        return self.full(picture.example)

    def image(self, picture: Picture) -> Image.Image | None:
        """The picture; None for a question without one. `HeadAtlasError` for one that is not there."""
        if picture.example is not None:
            images = self.question(picture).images
            return images[0] if images else None
        if picture.seed is not None or picture.scene is not None:
            from headatlas.scenes.render import render

            return render(scene_of(picture))
        with self._lock:
            if picture.upload is None or picture.upload not in self._uploads:
                raise HeadAtlasError("this picture is no longer there: add it again")
            return self._uploads[picture.upload][1]

    def upload_name(self, picture: Picture) -> str:
        """The name that an uploaded picture's file had."""
        with self._lock:
            return self._uploads.get(picture.upload or "", ("picture.png", None))[0]

    def suggestions(self, picture: Picture) -> list[dict[str, str]]:
        """Questions about a picture with their answers, as far as they are known: {text, answer, function, step}."""
        if picture.example is not None:
            question = self.question(picture)
            rows = [
                {"text": step.text, "answer": step.answer, "function": step.function, "step": str(k)}
                for k, step in enumerate(question.steps)
            ]
            if self.one_task and len(rows) == 1:
                rows = []  # the step only asks for the question's answer
            return [*rows, {"text": question.text, "answer": question.answer, "function": "", "step": ""}]
        if picture.upload is not None:
            return []
        from headatlas.scenes.build import ask_all

        scene = scene_of(picture)
        rows = [
            {"text": step.text, "answer": step.answer, "function": step.function, "step": ""}
            for step in _simple(scene, random.Random(0))
        ]
        for question in ask_all(scene, random.Random(0), "P"):
            steps = [step for step in question.steps if step.needs_image]
            rows += [{"text": s.text, "answer": s.answer, "function": s.function, "step": ""} for s in steps[:1]]
            rows.append({"text": question.text, "answer": question.answer, "function": "", "step": ""})
        return rows


def _simple(scene: Any, rng: random.Random) -> list[Step]:
    """Where the first things of a scene are, which way they face, and what they look like."""
    from headatlas.scenes.question_types import Chain

    chain = Chain(scene, "P", rng, "")
    for thing in scene.things[:2]:
        chain.column(thing.name)
        chain.row(thing.name)
        if thing.facing:
            chain.facing(thing.name)
        chain.look(thing.name, chance=1.0)
    return list(chain.decide("yes", "yes_no", ())[:-1])


def scene_of(picture: Picture) -> Any:
    """The scene of a seed, or the drawn one."""
    from headatlas.scenes.sample import random_scene

    if picture.seed is not None:
        return random_scene(random.Random(f"explore/{picture.seed}"))
    assert picture.scene is not None
    return drawn(picture.scene)


def drawn(scene: DrawnScene) -> Any:
    """A drawn scene as `scenes.world.Scene`."""
    from headatlas.scenes.world import Scene, Thing

    things = (Thing(t.cls, t.color, t.texture, t.size, t.row, t.column, t.depth, t.faces) for t in scene.things)
    return Scene(tuple(things), scene.place)


def png(image: Image.Image, side: int = 1024) -> bytes:
    """A picture as PNG, its longer side at most `side` pixels."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
