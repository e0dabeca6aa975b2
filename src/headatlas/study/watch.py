"""A page on this machine that shows a study while it runs: its stages, the rate of work, and the finished part of the report.

The report is rendered again whenever a stage has ended; until it has a chart, questions are shown.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from headatlas.annotate.review.guard import HEADERS, Guard
from headatlas.cogvsr import load
from headatlas.cogvsr.preview import write_preview
from headatlas.errors import HeadAtlasError
from headatlas.local_page import HOST, page_beside
from headatlas.progress import Pace, Progress
from headatlas.report import read_run
from headatlas.report.page import Page
from headatlas.report.render import build_page, to_html
from headatlas.study.rundir import RunDir
from headatlas.study.stages import STAGES
from headatlas.study.study import Study

N_QUESTIONS = 12
"""Questions shown before the first chart."""

OPEN = 4.0
"""A page that has sent no request for this many seconds counts as closed."""

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}

_POLICY = HEADERS["content-security-policy"]
_OUTER = f"{_POLICY}; frame-src 'self'"
_INNER = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Policies of the page and of the report in its frame, which has its scripts inside and may ask for nothing."""


class Watch:
    """The state of a running study, and its pages; also the study's `Progress`.

    Args:
        study: the study.
        progress: another callback that is called as well.
    """

    def __init__(self, study: Study, progress: Progress | None = None) -> None:
        self.study, self._progress = study, progress
        self._run = RunDir(study.run.root)
        self._stage, self._work, self._pace = "", "", Pace()
        self._lock = threading.Lock()
        self._asked, self._shown = -math.inf, False  # when a page last asked, and whether it has the last report
        self._rendered: tuple[str, str] = ("", "")  # (version, HTML)
        self.finished, self.error = False, ""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Note progress."""
        name = what.split(":")[0]
        if name != self._work:
            self._work, self._pace = name, Pace()
        self._pace.update(done, total)
        if self._progress is not None:
            self._progress(what, done, total)

    def state(self) -> dict[str, Any]:
        """What the page asks for every second."""
        stages, running = [], ""
        for name in STAGES:
            marker = self._run.marker(name)
            begun = (self._run.root / "stages" / f"{name}.begun").exists()
            if begun and not self.finished:
                running = name
            done = marker is not None and not begun
            stages.append(
                {
                    "name": name,
                    "state": "done" if done else "running" if running == name else "waiting",
                    "seconds": marker["seconds"] if done and marker is not None else None,
                }
            )
        if running != self._stage:  # what is known is the progress of an earlier stage
            self._stage, self._work, self._pace = running, "", Pace()
        self._asked = time.monotonic()
        ended = "-".join(one["name"] for one in stages if one["state"] == "done")
        page = ""
        if "evaluate" in ended.split("-"):
            page = f"report?{len(ended)}"
        elif "data" in ended.split("-"):
            page = "questions"
        return {
            "model": self.study.settings.model, "stages": stages, "stage": running, "work": self._work,
            "done": self._pace.done, "total": self._pace.total, "pace": str(self._pace), "page": page,
            "finished": self.finished, "error": self.error, "report": str(self._run.root / "report.html"),
        }  # fmt: skip

    def report(self) -> str:
        """The report so far as HTML; the last one that could be rendered while files are being written."""
        version = self.state()["page"]
        with self._lock:
            if self._rendered[0] != version:
                try:
                    self._rendered = (version, to_html(_so_far(build_page(read_run(self._run.root, is_growing=True)))))
                except (HeadAtlasError, OSError):  # a stage is writing its tables
                    if not self._rendered[1]:
                        raise
            self._shown = self.finished
            return self._rendered[1]

    def wait_for_pages(self, seconds: float = 20.0) -> None:
        """Wait until a page that is open has fetched the finished report; returns at once if none is open."""
        until = time.monotonic() + seconds
        while not self._shown and time.monotonic() < until:
            if (
                time.monotonic() - self._asked > OPEN and not self._lock.locked()
            ):  # no page is open, so nothing is rendered
                return
            time.sleep(0.1)

    def questions(self) -> str:
        """Some questions with their pictures, as HTML."""
        data = load(str(self._run.root / "data"))
        with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
            file = write_preview(data, Path(folder) / "questions.html", N_QUESTIONS, "Questions of this study")
            return file.read_text(encoding="utf-8")


def _so_far(page: Page) -> Page:
    """The page without the sections that have nothing to show yet."""
    page.sections = [one for one in page.sections if one.data or any(block.kind != "note" for block in one.blocks)]
    return page


@contextmanager
def watching(
    study: Study, port: int = 0, ready: Callable[[str], None] | None = None, progress: Progress | None = None
) -> Iterator[Watch]:
    """Serve the page of `study` while the block runs; yields its `Watch`, which is set as the study's progress.

    Args:
        study: the study; the caller runs it in the block.
        port: on 127.0.0.1; 0 takes a free one.
        ready: called with the address as soon as the page can be opened.
        progress: another callback that is called as well.

    Raises:
        HeadAtlasError: the port cannot be used.
    """
    watch = Watch(study, progress)
    study.progress = watch
    with page_beside(lambda taken: make_app(watch, taken), port, ready):
        try:
            yield watch
        except BaseException as error:
            watch.error = " ".join(str(error).split())[:300] or type(error).__name__
            raise
        watch.finished = True
        watch.wait_for_pages()


def make_app(watch: Watch, port: int) -> Any:
    """The page as an ASGI app that answers to 127.0.0.1:`port` and localhost:`port` only."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def static(name: str) -> Callable[[Request], Response]:
        body = (resources.files("headatlas.study") / "static" / name).read_bytes()
        headers = {"content-security-policy": _OUTER} if name.endswith(".html") else {}
        return lambda request: Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)

    def framed(make: Callable[[], str]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                return HTMLResponse(make(), headers={"content-security-policy": _INNER})
            except (HeadAtlasError, OSError) as error:
                return PlainTextResponse(f"{error}\n", 503)

        return answer

    routes = [
        Route("/", static("watch.html")),
        Route("/watch.css", static("watch.css")),
        Route("/watch.js", static("watch.js")),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        Route("/state", lambda request: JSONResponse(watch.state())),
        Route("/report", framed(watch.report)),
        Route("/questions", framed(watch.questions)),
    ]
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)])
