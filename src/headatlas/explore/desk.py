"""`Desk`: the model, its data, and the jobs of the page, which run one at a time (`jobs.py`)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, SPATIAL, TASK_TITLE, TITLES
from headatlas.errors import HeadAtlasError
from headatlas.explaining import alternatives, find_groups, head_effects, head_writes, probabilities
from headatlas.explaining.alternatives import answered
from headatlas.explaining.explain import default_heads, possible_answers
from headatlas.explore.examples import head_examples
from headatlas.explore.mixer import known, mixed, snippet
from headatlas.explore.pictures import Pictures
from headatlas.explore.recipes import Recipes
from headatlas.explore.requests import Asked, Change, JobRequest, RecipeFiles
from headatlas.explore.run_facts import RunFacts
from headatlas.progress import Progress
from headatlas.vlm.attention import AttentionMap, attention_map
from headatlas.vlm.chat import Conversation, Turn, conversation
from headatlas.vlm.generate import generate_answers
from headatlas.vlm.model import VLM
from headatlas.vlm.read import read

ALTERNATIVES = 4
MAX_NEW_TOKENS = 16
TRIED = 8
"""Most questions that are tried to find one that the model answers right, with which the page opens."""


class Desk:
    """A model with pictures to ask about.

    Args:
        vlm: the model.
        data: questions with pictures; the first 200 are offered.
        data_name: what they are loaded by, for code.
        run: facts of a study of this model.
        n: how many questions a named source made, for code.
        recipes: folders of head recipes of this model, besides those of the run.

    Raises:
        HeadAtlasError: the data are empty, or a recipe is damaged or of another model.
    """

    def __init__(
        self,
        vlm: VLM,
        data: Any,
        data_name: str,
        run: RunFacts | None = None,
        recipes: Sequence[str | Path] = (),
        n: int | None = None,
    ) -> None:
        if not len(data):
            raise HeadAtlasError(f"the data {data_name!r} must have at least one question, got none")
        self.vlm, self.run = vlm, run
        self.pictures = Pictures(data, data_name, n)
        self.recipes = Recipes(vlm, [*(() if run is None else run.recipes()), *recipes])
        self._work = {
            "ask": self.ask, "effects": self.effects, "groups": self.groups, "attention": self.attention,
            "writes": self.writes, "examples": self.examples, "mix": self.mix,
        }  # fmt: skip

    def about(self) -> dict[str, Any]:
        """What the page needs first: the model, its heads, the functions, and the run."""
        towers = []
        for tower in ("L", "X"):
            sites = self.vlm.heads.tower(tower)  # type: ignore[arg-type]
            if sites:
                towers.append({"tower": tower, "heads": [site.n_heads for site in sites]})
        return {
            "model": self.vlm.name,
            "family": self.vlm.family,
            "device": str(self.vlm.device),
            "towers": towers,
            "functions": self._functions(),
            "recipes": self.recipes.document(),
            "data": self.pictures.name,
            "n_examples": len(self.pictures.questions),
            "start": self._start(),
            "run": None if self.run is None else self.run.document(),
        }

    def do(self, request: JobRequest, progress: Progress) -> Any:
        """The work of a job, as a JSON document."""
        return self._work[request.kind](request, progress)

    def chat(self, asked: Asked) -> Conversation:
        """The open conversation of a question."""
        if asked.step is not None:
            question = self.pictures.question(asked.picture)
            if asked.step >= len(question.steps) or question.steps[asked.step].text != asked.question:
                raise HeadAtlasError(f"step {asked.step} of this question asks something else")
            return conversation(question, upto=asked.step)
        image = self.pictures.image(asked.picture)
        return Conversation(() if image is None else (image,), (Turn(asked.question),))

    def add_recipe(self, files: RecipeFiles) -> dict[str, Any]:
        """Keep a head recipe. This is a job, because no change may be active in the model meanwhile."""
        return self.recipes.add(files)

    # -- the jobs --------------------------------------------------------------------------------------------------

    def ask(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """The model's answer, and the probabilities of the alternatives."""
        chat = self.chat(request.asked)
        said = generate_answers(self.vlm, [chat], MAX_NEW_TOKENS)[0].text
        progress("ask", 1, 2)
        options = possible_answers(self.vlm, chat, said, None, ALTERNATIVES, MAX_NEW_TOKENS) if said else []
        return {
            "said": said,
            "alternatives": [{"text": one.text, "p": one.p} for one in options],
            "gold": self._gold(request.asked),
            "earlier": [[turn.user, turn.answer] for turn in chat.turns[:-1]],
            "snippet": snippet(self.vlm, request.asked, (), self.pictures, self.run, self.recipes),
        }

    def effects(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """The exact effect of every head alone."""
        _, found = self._effects(request, progress)
        return {
            "answer": found.answers[0],
            "heads": [str(head) for head in found.heads],
            "effect": _numbers(found.effect),
            "p": _numbers(np.exp(found.without[:, 0])),
            "changed": found.changed.tolist(),
            "says": list(found.says),
        }

    def groups(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """Heads that matter together."""
        chat, effects = self._effects(request, progress)
        candidates = None
        if len(effects.heads) > 128:
            order = np.argsort(-np.abs(effects.effect))[:64]
            candidates = effects.heads[:0] | [effects.heads[int(i)] for i in order]
        result = find_groups(self.vlm, chat, effects, candidates, progress=progress)
        return {
            "sets": _records(result.sets), "path": _records(result.path), "pairs": _records(result.pairs.head(8)),
            "hidden": [str(head) for head in result.hidden],
        }  # fmt: skip

    def attention(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """Attention of every head of the language model from one token, under the active changes."""
        chat = self.chat(request.asked)
        queries: Any = "predict" if request.position is None else [request.position]
        with mixed(self.vlm, request.changes, self.run, self.recipes):
            seen = attention_map(self.vlm, chat, None, queries)
        return attention_document(seen)

    def writes(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """The tokens that a head raises and lowers directly."""
        (head,) = known(self.vlm, [request.head or ""])
        result = head_writes(self.vlm, self.chat(request.asked), head)
        return {"head": str(head), "raised": result.raised, "lowered": result.lowered}

    def examples(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """The data's steps on which a head alone matters most, and those whose answer it changes."""
        (head,) = known(self.vlm, [request.head or ""])
        return head_examples(self.vlm, self.pictures, head, progress)

    def mix(self, request: JobRequest, progress: Progress) -> dict[str, Any]:
        """The model's answer and the probabilities of all answers, before and after the changes."""
        chat = self.chat(request.asked)
        before_said, before = self._answers(chat, ())
        progress("mix", 1, 3)
        after_said, after = self._answers(chat, request.changes)
        progress("mix", 2, 3)
        texts = list(dict.fromkeys([*before, *after]))
        before |= self._more(chat, (), [text for text in texts if text not in before])
        after |= self._more(chat, request.changes, [text for text in texts if text not in after])
        texts.sort(key=lambda text: -max(before.get(text, 0.0), after.get(text, 0.0)))
        return {
            "before": before_said,
            "after": after_said,
            "alternatives": [{"text": t, "before": before.get(t), "after": after.get(t)} for t in texts[:6]],
            "snippet": snippet(self.vlm, request.asked, request.changes, self.pictures, self.run, self.recipes),
        }

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _effects(self, request: JobRequest, progress: Progress) -> tuple[Conversation, Any]:
        chat = self.chat(request.asked)
        answer = generate_answers(self.vlm, [chat], MAX_NEW_TOKENS)[0].text
        options = possible_answers(self.vlm, chat, answer, None, ALTERNATIVES, MAX_NEW_TOKENS)
        texts = [one.text for one in options]
        heads = default_heads(self.vlm)
        return chat, head_effects(self.vlm, chat, texts, answer, heads, None, MAX_NEW_TOKENS, progress)

    def _answers(self, chat: Conversation, changes: tuple[Change, ...]) -> tuple[str, dict[str, float]]:
        with mixed(self.vlm, changes, self.run, self.recipes):
            answer = generate_answers(self.vlm, [chat], MAX_NEW_TOKENS)[0].text
            options = {one.text: one.p for one in alternatives(self.vlm, chat, ALTERNATIVES, MAX_NEW_TOKENS)}
            if answer and answer not in options:
                options |= {one.text: one.p for one in probabilities(self.vlm, chat, [answer])}
        return answer, options

    def _more(self, chat: Conversation, changes: tuple[Change, ...], texts: list[str]) -> dict[str, float]:
        with mixed(self.vlm, changes, self.run, self.recipes):
            return {one.text: one.p for one in probabilities(self.vlm, chat, texts)}

    def _functions(self) -> list[dict[str, str]]:
        """The functions that the data's questions can have: the eight, or the one task of questions that name none."""
        if self.pictures.one_task:
            return [{"name": SPATIAL[0], "title": TASK_TITLE, "meaning": "what your questions ask"}]
        return [{"name": f, "title": TITLES[f], "meaning": MEANINGS[f]} for f in FUNCTIONS]

    def _start(self) -> dict[str, Any]:
        """The question with which the page opens: the first of a few spatial steps that the model answers right, if there is
        one."""
        spatial: list[dict[str, Any]] = []
        for number, question in enumerate(self.pictures.questions):
            if self.pictures.one_task and len(question.steps) == 1:
                spatial.append({"picture": {"example": number}, "question": question.text, "step": None})
                if len(spatial) == TRIED:
                    break
                continue
            for k, step in enumerate(question.steps):
                if step.function in SPATIAL and step.needs_image:
                    spatial.append({"picture": {"example": number}, "question": step.text, "step": k})
                    break
            if len(spatial) == TRIED:
                break
        for one in spatial:
            asked = Asked.model_validate(one)
            gold = self._gold(asked)
            if read(self.vlm, [answered(self.chat(asked), gold)])[0][-1].exact:
                return one
        first = self.pictures.questions[0].steps[0].text
        return spatial[0] if spatial else {"picture": {"example": 0}, "question": first, "step": 0}

    def _gold(self, asked: Asked) -> str:
        """The right answer of a step or question of the data; empty for other questions."""
        if asked.picture.example is None:
            return ""
        question = self.pictures.question(asked.picture)
        if asked.step is not None:
            return question.steps[asked.step].answer
        return question.answer if asked.question == question.text.strip() else ""


def attention_document(seen: AttentionMap) -> dict[str, Any]:
    """Attention of all heads from one token: on the tokens of the text and, if their places are known, over the picture.

    Weights are bytes, each head's largest at 255, in base64; `mass` is the share on the picture, `peak` what 255 stands for.
    """
    image = set(seen.image_positions)
    text = [i for i in range(len(seen.tokens)) if i not in image]
    rows = seen.weights[:, -1]  # [H, K]
    words, peak = _bytes(rows[:, text])
    out: dict[str, Any] = {
        "heads": [str(head) for head in seen.heads],
        "tokens": [seen.tokens[i] for i in text],
        "positions": text,
        "query": seen.queries[-1],
        "image_at": min(image, default=-1),
        "n_image": len(image),
        "mass": _numbers(seen.image_mass()),
        "words": words,
        "peak": peak,
        "map": None,
        "why": "",
    }
    try:
        maps = seen.on_image()
        coded, top = _bytes(maps.reshape(len(maps), -1))
        out["map"] = {"rows": maps.shape[1], "columns": maps.shape[2], "values": coded, "peak": top}
    except HeadAtlasError as error:
        out["why"] = str(error)
    return out


def _bytes(values: np.ndarray) -> tuple[str, list[float]]:
    """Rows of weights as bytes in base64, each row's largest at 255, and what 255 stands for."""
    peak = values.max(axis=1, initial=0.0)
    scaled = np.round(255 * values / np.maximum(peak, 1e-12)[:, None]).clip(0, 255).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), _numbers(peak)


def _numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in np.asarray(values, float).tolist()]


def _records(table: Any) -> list[dict[str, Any]]:
    """Rows of a table as plain values; NaN becomes None."""
    return [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
