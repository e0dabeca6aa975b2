"""Questions to decompose, and a model that replies from a script."""

import json

import pytest
from PIL import Image

from headatlas.cogvsr import CogVSR, Question, Step


def question(i: int, **changes) -> Question:
    fields = {
        "id": f"q{i}",
        "source": "hand",
        "split": "E",
        "images": (Image.new("RGB", (8, 8), (10 * i, 0, 0)),),
        "text": f"Is the dog left of cat {i}?",
        "answer": "yes",
        "answer_type": "yes_no",
    }
    fields |= changes
    last = {name: fields[name] for name in ("text", "answer", "answer_type")}
    whole = Step(**last, options=fields.get("options", ()), functions=("relational_reasoning",))
    return Question.model_validate({"steps": (whole,), **fields})


def step(
    text: str, answer: object, kind: str = "text", functions=("spatial_perception",), options=(), image=True
) -> dict:
    return {"question": text, "answer": answer, "answer_type": kind, "options": list(options),
            "functions": list(functions), "needs_image": image}  # fmt: skip


def chain(answer: str = "yes") -> list[dict]:
    return [
        step("Which animals does the question name?", "dog and cat", functions=["Information Extraction"], image=False),
        step("In which column is the dog?", 2, "number"),
        step("In which column is the cat?", "four", "number"),
        step("So what is the answer?", answer, "yes_no", functions=["decision_making", "relational reasoning"]),
    ]


class Models:
    """A script for `ChatServer`: `drafts` by question text (given one after the other), blind answers by step."""

    def __init__(self, drafts=None, blind=None):
        self.drafts, self.blind = drafts or {}, blind or {}
        self.asked = []

    def __call__(self, body, n):
        system, user = (message["content"] for message in body["messages"][:2])
        told = json.loads(user if isinstance(user, str) else user[-1]["text"])
        if system.startswith("You break"):
            self.asked.append(("draft", told["question"]))
            steps = self.drafts.get(told["question"], [chain()])
            said = steps[min((len(body["messages"]) - 2) // 2, len(steps) - 1)]
            return json.dumps({"steps": said}) if isinstance(said, list) else said
        if system.startswith("You answer one step"):
            self.asked.append(("blind", told["step to answer"]))
            known = {s["question"]: s["answer"] for s in chain()} | self.blind
            said = known.get(told["step to answer"], "yes")
            return json.dumps({"why": "", "answerable": said is not None, "answer": "" if said is None else str(said)})
        assert system.startswith("You judge")
        self.asked.append(("judge", told["given answer"]))
        same = set(told["given answer"].split()) >= set(told["expected answer"].split())
        return json.dumps({"why": "", "verdict": "correct" if same else "incorrect"})


@pytest.fixture
def data() -> CogVSR:
    return CogVSR.from_questions(question(i) for i in range(6))


@pytest.fixture
def models() -> type[Models]:
    return Models


@pytest.fixture
def good_chain() -> list[dict]:
    return chain()


@pytest.fixture
def many_steps() -> Question:
    steps = [Step(text="Where is it?", answer="left", answer_type="text", functions=("spatial_perception",))]
    return question(9, id="many", steps=(*steps, *question(9).steps))
