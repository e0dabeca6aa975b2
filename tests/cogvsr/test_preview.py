import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from headatlas.cogvsr import FUNCTIONS, CogVSR, Step, from_rows
from headatlas.cogvsr.preview import COLORS, write_preview
from headatlas.errors import HeadAtlasError

from .conftest import make_question

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_shows_questions_steps_and_images_and_needs_nothing_else(questions, tmp_path):
    path = write_preview(CogVSR.from_questions(questions), tmp_path / "new" / "preview.html", n=4)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("article")) == 4
    assert len(page.all("li")) == 8
    assert [a["data-split"] for a in page.all("article")] == ["P", "P", "S", "T"]
    sources = [attrs["src"] for attrs in page.all("img")]
    picture = Image.open(io.BytesIO(base64.b64decode(sources[0].removeprefix("data:image/jpeg;base64,"))))
    assert picture.size == (96, 96)
    assert not re.search(r"https?://|src=\"(?!data:)|@import|url\(", text)
    assert page.all("li")[0]["class"] == "f-spatial_perception"
    assert f".f-spatial_perception {{ --f: {COLORS['spatial_perception']}; }}" in text
    assert tuple(COLORS) == FUNCTIONS


def test_hostile_text_stays_text(tmp_path):
    step = Step(text=HOSTILE, answer=HOSTILE, answer_type="text", functions=("decision_making",))
    fields = {"id": HOSTILE, "family": HOSTILE, "text": HOSTILE, "answer": HOSTILE, "answer_type": "text"}
    data = CogVSR.from_questions([make_question(0, steps=(step,), options=(HOSTILE,), **fields)])
    page = Page(write_preview(data, tmp_path / "p.html", title=HOSTILE).read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert all("onerror" not in attrs for _, attrs in page.tags)
    assert len(page.all("img")) == 1
    assert sum(HOSTILE in words for words in page.words) >= 6
    assert page.all("article")[0]["data-family"] == HOSTILE


def test_fewer_questions_than_asked_for_are_all_shown_and_none_is_refused(questions, tmp_path):
    data = CogVSR.from_questions(questions)
    assert write_preview(data, tmp_path / "p.html", n=100).read_text().count("<article") == 5
    with pytest.raises(HeadAtlasError, match="n must be at least 1"):
        write_preview(data, tmp_path / "p.html", n=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadAtlasError, match="cannot write the preview"):
        write_preview(data, tmp_path / "file" / "p.html")


def test_questions_without_functions_are_one_task(tmp_path):
    rows = [{"image": Image.new("RGB", (8, 8), (i, 0, 90)), "question": "Is it red?", "answer": "no"} for i in range(4)]
    page = Page(write_preview(from_rows(rows), tmp_path / "preview.html").read_text(encoding="utf-8"))
    words = " ".join(page.words)
    assert "one function: this task" in words
    assert "Spatial perception" not in words
    assert [attrs["title"] for attrs in page.all("span") if "key" in attrs.get("class", "")] == [
        "the questions name no functions"
    ]
    assert not page.all("li")  # the only step is the question, which is shown once
