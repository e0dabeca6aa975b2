"""A page in Chromium, from a file, without network; its console messages and its requests are recorded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
READY = "document.documentElement.dataset.ready === 'true'"


def chromium() -> str:
    """Path of a Chromium; the test is skipped without one, and fails in CI."""
    found = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
    if found is None:
        reason = "no chromium on this machine: install Debian's package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    """The report `file`, drawn; `page.told` is its console, `page.asked` every request."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.told, page.asked = [], []  # type: ignore[attr-defined]
        page.on("console", lambda message: page.told.append(f"{message.type}: {message.text}"))  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.told.append(f"error: {error}"))  # type: ignore[attr-defined]
        page.on("request", lambda request: page.asked.append(request.url))  # type: ignore[attr-defined]
        page.goto(file.as_uri())
        page.wait_for_function(READY, timeout=60_000)
        yield page
        browser.close()
