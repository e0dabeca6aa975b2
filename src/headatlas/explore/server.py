"""The server of the live page; the page itself is in `static/`.

It serves facts about the model, its data and a run, and takes jobs. Only requests from pages of this address are answered
(`annotate.review.guard`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headatlas.annotate.review.guard import Guard
from headatlas.errors import HeadAtlasError
from headatlas.explore.desk import Desk
from headatlas.explore.jobs import Jobs
from headatlas.explore.pictures import png
from headatlas.explore.requests import JobRequest, Picture, RecipeFiles, Upload
from headatlas.local_page import HOST

MOST_BYTES = 32 * 2**20
"""The most bytes of a request, such as an upload in base64."""
WAIT = 10.0
"""Longest time, in seconds, that a request for a job's state waits."""

SCRIPTS = ("base.js", "grid.js", "picture.js", "head.js", "mixer.js", "scene.js", "main.js")
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}

R = TypeVar("R", bound=BaseModel)


def make_app(desk: Desk, port: int) -> tuple[Starlette, Jobs]:
    """The page and its interface as an ASGI app that answers to 127.0.0.1:`port` and localhost:`port` only, and its jobs."""
    jobs = Jobs()
    page = _Page(desk, jobs)
    routes = [Route("/", static("explore.html"))]
    routes += [Route(f"/{name}", static(name)) for name in ("explore.css", *SCRIPTS)]
    routes += [
        Route("/favicon.ico", lambda request: Response(status_code=204)),  # browsers ask for it by themselves
        Route("/api/about", page.about),
        Route("/api/suggestions", page.suggestions, methods=["POST"]),
        Route("/api/picture", page.picture),
        Route("/api/upload", page.upload, methods=["POST"]),
        Route("/api/recipe", page.recipe, methods=["POST"]),
        Route("/api/job", page.add, methods=["POST"]),
        Route("/api/job/{name:str}", page.news),
        Route("/api/job/{name:str}/cancel", page.cancel, methods=["POST"]),
    ]
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts, most_bytes=MOST_BYTES)],
        exception_handlers={HeadAtlasError: _failed},  # type: ignore[dict-item]
    )
    return app, jobs


def read_static(name: str) -> bytes:
    """A file of the page."""
    return (resources.files("headatlas.explore") / "static" / name).read_bytes()


def static(name: str) -> Callable[[Request], Response]:
    """A handler that sends a file of the page."""
    content, kind = read_static(name), _TYPES[name.rpartition(".")[2]]
    return lambda request: Response(content, media_type=f"{kind}; charset=utf-8")


class _Page:
    """The handlers of requests. Starlette runs each call of a plain function in a thread of its own."""

    def __init__(self, desk: Desk, jobs: Jobs) -> None:
        self._desk, self._jobs = desk, jobs
        self._about = desk.about()

    def about(self, request: Request) -> Response:
        about = {**self._about, "recipes": self._desk.recipes.document()}  # more may have been loaded
        return Response(json.dumps(about, allow_nan=False), media_type="application/json")

    async def suggestions(self, request: Request) -> Response:
        picture = await _body(request, Picture)
        return JSONResponse(await run_in_threadpool(self._desk.pictures.suggestions, picture))

    def picture(self, request: Request) -> Response:
        """A picture. The query holds JSON that names it, because a page can load an image only by its address."""
        try:
            picture = Picture.model_validate_json(request.query_params.get("which", "")[:4000])
        except ValidationError as error:
            return _refused(422, _first_fault(error))
        image = self._desk.pictures.image(picture)
        if image is None:
            return _refused(404, "this question has no picture")
        small = request.query_params.get("small") == "1"
        return Response(png(image, 160 if small else 1024), media_type="image/png")

    async def upload(self, request: Request) -> Response:
        upload = await _body(request, Upload)
        return JSONResponse(await run_in_threadpool(self._desk.pictures.add, upload))

    async def recipe(self, request: Request) -> Response:
        files = await _body(request, RecipeFiles)
        return JSONResponse({"id": self._jobs.add(lambda progress: self._desk.add_recipe(files)).id})

    async def add(self, request: Request) -> Response:
        asked = await _body(request, JobRequest)
        return JSONResponse({"id": self._jobs.add(lambda progress: self._desk.do(asked, progress)).id})

    def news(self, request: Request) -> Response:
        version = request.query_params.get("version", "-1")
        known = int(version) if re.fullmatch(r"-?\d{1,9}", version) else -1
        state = self._jobs.wait(request.path_params["name"], known, WAIT)
        return JSONResponse(state) if state is not None else _refused(404, "this job is not known any more: ask again")

    def cancel(self, request: Request) -> Response:
        return JSONResponse({"known": self._jobs.cancel(request.path_params["name"])})


async def _body(request: Request, model: type[R]) -> R:
    """The request's body as `model`; `HeadAtlasError` in one line for anything else."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HeadAtlasError(_first_fault(error)) from error


def _failed(request: Request, error: Exception) -> Response:
    return _refused(422, str(error))


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


def _first_fault(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
