"""The page in Chromium: two people at once, hostile text, a server that dies."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from browser import ARGUMENTS, chromium
from playwright.sync_api import expect, sync_playwright

from headatlas.annotate.review import VoteStore


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield opened
        opened.close()


def enter(browser, address, name, adjudicator=False):
    """A page of its own browser context, on which `name` has begun."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.told, page.asked = [], []
    page.on("console", lambda message: page.told.append(message.text))
    page.on("pageerror", lambda error: page.told.append(f"error: {error}"))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    if adjudicator:
        page.get_by_label("I adjudicate").check()
    page.get_by_role("button", name="Begin").click()
    ready(page)
    return page


def ready(page):
    # No function to wait for: the page's policy forbids evaluating strings, playwright's too.
    page.wait_for_selector("html[data-ready=true]", state="attached")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def saved(page):
    expect(page.locator("#outbox")).to_have_text("all saved", timeout=20_000)


def verdicts(page):
    return page.locator("#steps > li").evaluate_all("nodes => nodes.map(node => node.dataset.verdict)")


def test_a_question_is_reviewed_by_keyboard(browser, data, store, serving):
    with serving(data, store) as address:
        page = enter(browser, address, "ann")
        expect(page.locator("#text")).to_have_text("Is dog 0 left of the cats?")
        expect(page.locator("#images img")).to_have_js_property("complete", True)
        assert page.locator("#images img").evaluate("node => node.naturalWidth") == 40
        assert "null" not in page.locator("#work").inner_text()
        press(page, "a")  # step 1
        press(page, "2", "Shift+2", "a")  # step 2: marked, made primary, accepted
        press(page, "r", "ArrowUp", "ArrowUp", "r")  # step 3, then step 1 after all
        saved(page)
        assert verdicts(page) == ["reject", "accept", "reject"]
        held = {v.step: v for v in store.votes()}
        assert held[1].functions == ("relational_reasoning", "high_level_perception", "math_reasoning")
        assert [v.verdict for v in store.history() if v.step == 0] == ["accept", "reject"]
        expect(page.locator("#progress")).to_have_text("1 of 3 questions finished")
        press(page, "n")
        expect(page.locator("#text")).to_have_text("Is dog 1 left of the cats?")
        press(page, "u")
        expect(page.locator("#text")).to_have_text("Is dog 2 left of the cats?")
        page.reload()
        ready(page)
        expect(page.locator("#text")).to_have_text("Is dog 2 left of the cats?")
        press(page, "p", "p")
        expect(page.locator("#text")).to_have_text("Is dog 0 left of the cats?")
        assert verdicts(page) == ["reject", "accept", "reject"]
        assert page.told == []
        assert all(url.startswith(address) for url in page.asked)


def test_a_step_is_fixed(browser, data, store, serving):
    with serving(data, store) as address:
        page = enter(browser, address, "ann")
        press(page, "ArrowDown", "f")
        form = page.locator(".fix")
        form.get_by_label("Wording").fill("How many cats do you see?")
        form.get_by_label("Answer", exact=True).fill("many")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#steps > li").nth(1).locator(".status")).to_contain_text("must be a number")
        assert not store.history()
        press(page, "f")  # the step is selected again, and what was typed is there
        expect(form.get_by_label("Wording")).to_have_value("How many cats do you see?")
        form.get_by_label("Answer", exact=True).fill("3")
        page.keyboard.press("Control+Enter")
        saved(page)
        (vote,) = store.votes()
        assert vote.change is not None
        assert (vote.verdict, vote.change.answer, vote.change.answer_type) == ("fix", "3", "number")
        expect(page.locator("#steps > li").nth(1)).to_contain_text("was: How many cats are there? 2")
        press(page, "f")  # the last step: its answer is the question's
        expect(form.get_by_label("the main question’s")).to_be_disabled()
        page.keyboard.press("Escape")
        assert form.count() == 0
        press(page, "x")
        saved(page)
        assert store.votes()[-1].step == -1
        assert page.told == [
            "Failed to load resource: the server responded with a status of 422 (Unprocessable Content)"
        ] or all("422" in text for text in page.told)


def test_two_annotators_at_once_and_an_adjudicator(browser, data, store, serving):
    with serving(data, store) as address:
        ann, bob = enter(browser, address, "ann"), enter(browser, address, "bob")
        for ann_says, bob_says in ("ar", "aa", "aa"):  # alternately, on the same question
            press(ann, ann_says)
            press(bob, bob_says)
        saved(ann)
        saved(bob)
        assert [(v.annotator, v.verdict) for v in sorted(store.votes(), key=lambda v: (v.annotator, v.step))] == [
            ("ann", "accept"), ("ann", "accept"), ("ann", "accept"), ("bob", "reject"), ("bob", "accept"), ("bob", "accept"),
        ]  # fmt: skip
        assert "bob" not in ann.locator("#steps").inner_text()
        zoe = enter(browser, address, "zoe", adjudicator=True)
        expect(zoe.locator("#progress")).to_contain_text("1 undecided")
        expect(zoe.locator("#steps > li").first).to_contain_text("undecided: 1 keep it, 1 reject it")
        expect(zoe.locator("#steps > li").first).to_contain_text("bob: reject")
        press(zoe, "a")
        saved(zoe)
        assert store.votes()[-1].role == "adjudicator"
        expect(zoe.locator("#progress")).to_contain_text("0 undecided")
        press(zoe, "g")
        expect(zoe.locator("#agreement")).to_contain_text(
            re.compile("2 people have voted: (ann, bob|bob, ann)")
        )  # whose came first
        expect(zoe.locator("#agreement tr").nth(1)).to_contain_text("verdict")
        press(ann, "g")
        expect(ann.locator("#agreement")).to_be_hidden()
        assert ann.told == bob.told == zoe.told == []


def test_hostile_text_stays_text(browser, hostile, tmp_path, serving, vote):
    data, text = hostile
    data.name = text
    with VoteStore(tmp_path / "v.sqlite", data) as store, serving(data, store) as address:
        store.add(vote(question=f"q0{text}", who=text[:60], note=text))
        store.add(vote(question=f"q0{text}", who="b", verdict="reject"))
        page = enter(browser, address, text[:50], adjudicator=True)
        expect(page.locator("#text")).to_contain_text(text)
        press(page, "a", "f")
        expect(page.locator("#dataset")).to_have_text(text)
        expect(page.locator("#steps > li").first).to_contain_text(text)
        saved(page)
        assert page.evaluate("window.hit") is None
        assert page.locator("img").count() == 1
        assert page.locator("#work script, #work b b").count() == 0
        assert page.told == []
        assert page.evaluate("document.documentElement.scrollWidth <= 1280")


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(browser, data, store, serving, width):
    with serving(data, store) as address:
        page = enter(browser, address, "ann")
        page.set_viewport_size({"width": width, "height": 800})
        press(page, "?", "f")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


SERVE = """
import sys
from headatlas.cogvsr import load
from headatlas.annotate.review import VoteStore, serve
data = load(sys.argv[1])
serve(data, VoteStore(sys.argv[2], data), int(sys.argv[3]), ready=lambda address: print(address, flush=True))
"""


def test_a_server_that_is_killed_loses_no_vote(browser, data, tmp_path):
    data.save(tmp_path / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(tmp_path / "data"), str(tmp_path / "v.sqlite"), str(port)]

    def start():
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        with child.stdout as said:  # type: ignore[union-attr]
            return child, re.search(r"http://\S+", said.readline())[0]  # type: ignore[index]

    child, address = start()
    try:
        page = enter(browser, address, "ann")
        press(page, "a")
        saved(page)
        child.send_signal(signal.SIGKILL)
        child.wait()
        press(page, "a", "r")  # nobody is there to take these
        expect(page.locator("#outbox")).to_contain_text("not saved yet: 2")
        child, again = start()
        assert again == address
        saved(page)
    finally:
        child.kill()
        child.wait()
    with VoteStore(tmp_path / "v.sqlite", data) as store:
        assert [(v.step, v.verdict) for v in store.votes()] == [(0, "accept"), (1, "accept"), (2, "reject")]


def test_a_vote_that_is_refused_after_its_question_was_left_is_not_lost_in_silence(browser, data, store, serving):
    with serving(data, store) as address:
        page, held = enter(browser, address, "ann"), []
        page.route("**/api/vote*", lambda route: route.continue_() if held else held.append(route))
        press(page, "a")
        expect(page.locator("#outbox")).to_have_text("saving 1")
        press(page, "f")
        page.locator(".fix").get_by_label("Answer", exact=True).fill("many")
        page.keyboard.press("Control+Enter")
        press(page, "a", "n")
        expect(page.locator("#text")).to_have_text("Is dog 1 left of the cats?")
        expect(page.locator("#progress")).to_have_text("1 of 3 questions finished")
        held[0].continue_()
        saved(page)
        expect(page.get_by_role("alert")).to_contain_text("Not saved: question 1, step 2: the answer must be a number")
        expect(page.locator("#progress")).to_have_text("0 of 3 questions finished")
        page.get_by_role("button", name="go there").click()
        expect(page.locator("#text")).to_have_text("Is dog 0 left of the cats?")
        assert verdicts(page) == ["accept", "", "accept"]
        press(page, "f")  # the first step that waits is selected
        expect(page.locator(".fix").get_by_label("Answer", exact=True)).to_have_value("many")
