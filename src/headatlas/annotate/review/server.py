"""The server of the review page, for several annotators at once; the page itself is in `static/`.

A vote is on the disk before its reply is sent. Annotators see only their own votes; adjudicators see all.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from importlib import resources

from PIL import Image
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headatlas.annotate.review.agreement import agreement
from headatlas.annotate.review.decide import Rule, decide, decide_whole, fault_of
from headatlas.annotate.review.guard import Guard
from headatlas.annotate.review.votes import WHOLE, Vote, VoteStore
from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, TITLES
from headatlas.cogvsr.preview import COLORS
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.local_page import HOST

_SIDE = 1400  # pixels of an image on the page
_FILES = {"/": ("review.html", "text/html"), "/review.js": ("review.js", "text/javascript"),
          "/review.css": ("review.css", "text/css")}  # fmt: skip


def make_app(data: CogVSR, store: VoteStore, port: int, rule: Rule) -> Starlette:
    """The page and its interface as an ASGI app that answers to 127.0.0.1:`port` and localhost:`port` only."""
    page = _Page(data, store, rule)
    routes = [Route(path, _file(*named)) for path, named in _FILES.items()]
    routes += [
        Route("/favicon.ico", lambda request: Response(status_code=204)),  # browsers request it by themselves
        Route("/api/about", page.about),
        Route("/api/questions", page.questions),
        Route("/api/question/{index:int}", page.question),
        Route("/api/agreement", page.agreement),
        Route("/api/vote", page.vote, methods=["POST"]),
        Route("/image/{index:int}/{number:int}", page.image),
    ]
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={HeadAtlasError: _failed},  # type: ignore[dict-item]
    )


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = (resources.files("headatlas.annotate.review") / "static" / name).read_bytes()
    return lambda request: Response(content, media_type=f"{kind}; charset=utf-8")


class _Page:
    """The handlers of requests. Starlette runs each call of a plain function in a thread of its own."""

    def __init__(self, data: CogVSR, store: VoteStore, rule: Rule):
        self._data, self._store, self._rule = data, store, rule
        self._decoding = threading.Lock()
        self._questions: list[Question] = list(data.without_images())
        self._index = {question.id: i for i, question in enumerate(self._questions)}

    def about(self, request: Request) -> Response:
        functions = [
            {"name": name, "title": TITLES[name], "meaning": MEANINGS[name], "color": COLORS[name]}
            for name in FUNCTIONS
        ]
        return JSONResponse(
            {
                "dataset": self._data.name,
                "fingerprint": self._store.fingerprint,
                "functions": functions,
                "share": self._rule.share,
                "min_votes": self._rule.min_votes,
            }
        )

    def questions(self, request: Request) -> Response:
        """For every question: how many of its steps this person has decided, and, for adjudicators, its state."""
        if refusal := self._outdated(request):
            return refusal
        annotator, role = _who(request)
        mine = self._store.votes(annotator, role)  # type: ignore[arg-type]
        done: dict[str, set[int]] = {}
        for vote in mine:
            if vote.verdict:
                done.setdefault(vote.question, set()).add(vote.step)
        states = self._states() if role == "adjudicator" else {}
        rows = []
        for question in self._questions:
            found = done.get(question.id, set())
            whole = WHOLE in found
            rows.append(
                {
                    "id": question.id,
                    "steps": len(question.steps),
                    "done": len(question.steps) if whole else len(found),
                    "state": states.get(question.id, ""),
                }
            )
        return JSONResponse(rows)

    def _outdated(self, request: Request) -> Response | None:
        """The reply to a page that was loaded when this address served another dataset; the page keeps its votes."""
        steps = request.query_params.get("steps")
        if steps is None or steps == self._store.fingerprint:
            return None
        return _refused(
            503, "this address now serves another dataset: load the page again; votes on the old one are kept"
        )

    def _states(self) -> dict[str, str]:
        """The state of each question that has votes: `undecided` if a step needs an adjudicator, else `open` or `decided`."""
        by_question: dict[str, list[Vote]] = {}
        for vote in self._store.votes():
            by_question.setdefault(vote.question, []).append(vote)
        result = {}
        for name, votes in by_question.items():
            if name not in self._index:
                continue
            steps = self._questions[self._index[name]].steps
            whole = decide_whole(votes, self._rule)
            states = {decide(s, [v for v in votes if v.step == i], self._rule).state for i, s in enumerate(steps)}
            states = {whole.state} if whole else states
            result[name] = next((state for state in ("undecided", "open") if state in states), "decided")
        return result

    def question(self, request: Request) -> Response:
        if refusal := self._outdated(request):
            return refusal
        annotator, role = _who(request)
        index = request.path_params["index"]
        if index >= len(self._questions):
            return _refused(404, f"there are {len(self._questions)} questions")
        question = self._questions[index]
        votes = self._store.votes(question=question.id)
        mine = [v for v in votes if v.annotator == annotator and v.role == role]
        others = [v for v in votes if v.role == "annotator" and v.verdict] if role == "adjudicator" else []
        states = [
            decide(s, [v for v in votes if v.step == i], self._rule) for i, s in enumerate(question.steps)
        ] if role == "adjudicator" else []  # fmt: skip
        return JSONResponse(
            {
                "index": index,
                **question.model_dump(
                    mode="json", include={"id", "source", "split", "text", "options", "answer", "answer_type"}
                ),
                "images": self._images(index),
                "steps": [step.model_dump(mode="json", exclude={"boxes", "kind"}) for step in question.steps],
                "mine": [vote.model_dump(mode="json") for vote in mine],
                "others": [vote.model_dump(mode="json") for vote in others],
                "states": [{"state": d.state, "why": d.why} for d in states],
            }
        )

    def _images(self, index: int) -> list[str]:
        """Addresses of a question's images. Images that cannot be read have one too, which says why."""
        try:
            return [f"/image/{index}/{k}" for k in range(len(self._decoded(index)))]
        except HeadAtlasError:
            return [f"/image/{index}/0"]

    def _decoded(self, index: int) -> tuple[Image.Image, ...]:
        with self._decoding:
            return self._data[index].images

    def image(self, request: Request) -> Response:
        index, number = request.path_params["index"], request.path_params["number"]
        if index >= len(self._questions):
            return _refused(404, "no such question")
        try:
            images = self._decoded(index)
        except HeadAtlasError as error:
            return _refused(422, str(error))
        if number >= len(images):
            return _refused(404, "no such image")
        small = images[number].copy()
        small.thumbnail((_SIDE, _SIDE))
        buffer = io.BytesIO()
        small.save(buffer, format="PNG", compress_level=3)
        return Response(buffer.getvalue(), media_type="image/png")

    def agreement(self, request: Request) -> Response:
        table = agreement(self._store.votes(), self._rule)
        return JSONResponse(
            {"annotators": self._store.annotators(), "rows": json.loads(table.to_json(orient="records"))}
        )

    async def vote(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if refusal := self._outdated(request):
            return refusal
        try:
            fields = json.loads(await request.body())
            vote = Vote.model_validate({**fields, "at": ""})
        except (ValueError, TypeError, RecursionError) as error:
            return _refused(422, _first_fault(error))
        if vote.question not in self._index:
            return _refused(422, f"no question {vote.question!r:.80} in this dataset")
        question = self._questions[self._index[vote.question]]
        if vote.step >= len(question.steps):
            return _refused(422, f"question {question.id!r} has {len(question.steps)} steps, got step {vote.step + 1}")
        if vote.change and (fault := fault_of(vote.change, question, vote.step)):
            return _refused(422, fault)
        stored = await run_in_threadpool(self._store.add, vote)
        return JSONResponse({"id": stored.id, "at": stored.at})


def _who(request: Request) -> tuple[str, str]:
    role = request.query_params.get("role", "annotator")
    return request.query_params.get("annotator", "").strip(), role if role in (
        "annotator",
        "adjudicator",
    ) else "annotator"


def _failed(request: Request, error: Exception) -> Response:
    """The reply while votes cannot be read or stored: the page keeps its votes and sends them again."""
    return _refused(503, str(error))


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    return f"not a vote ({type(error).__name__})"
