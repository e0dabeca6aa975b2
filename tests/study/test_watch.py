"""The page of a running study, over real HTTP."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from headatlas.cogvsr import CogVSR
from headatlas.study import make_settings, watching
from headatlas.study.continuing import GIVEN
from headatlas.study.stages import run_stage
from headatlas.study.study import Study


def get(address, path, host=None):
    request = urllib.request.Request(address + path, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read().decode(), reply.headers


def open_page(address, seen):
    """Ask for the state until the study has ended, then for its report, as the page does."""
    while not (state := json.loads(get(address, "state")[0]))["finished"]:
        seen.append("running")
        time.sleep(0.05)
    seen.append(get(address, state["page"])[0])


def test_the_page_grows_as_stages_end(tiny_vlm, tiny_questions, tmp_path):
    data = CogVSR.from_questions(tiny_questions)
    settings = make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}", n_bootstrap=100)
    study, addresses, heard = Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data), [], []
    with watching(study, 0, addresses.append, lambda *news: heard.append(news)) as watch:
        (address,) = addresses
        assert address.startswith("http://127.0.0.1:")
        state = json.loads(get(address, "state")[0])
        assert (state["page"], state["finished"]) == ("", False)
        assert run_stage(study, "data")
        state = json.loads(get(address, "state")[0])
        assert state["page"] == "questions"
        assert next(one for one in state["stages"] if one["name"] == "data")["state"] == "done"
        page, headers = get(address, "questions")
        assert "data:image/jpeg" in page
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert run_stage(study, "evaluate")
        state = json.loads(get(address, "state")[0])
        assert state["page"].startswith("report?")
        report = get(address, "report")[0]
        assert "vega" in report
        assert get(address, "report")[0] == report
        assert "frame-src 'self'" in get(address, "")[1]["content-security-policy"]
        with pytest.raises(urllib.error.HTTPError, match="421"):
            get(address, "state", host="evil.example")
        watch("sweep: L0.H1", 3, 9)
        state = json.loads(get(address, "state")[0])
        assert (state["work"], state["done"], state["total"]) == ("sweep", 3, 9)
        # A page that is open when the study ends still gets the finished report.
        page = threading.Thread(target=open_page, args=(address, last := []))
        page.start()
        while not last:
            time.sleep(0.01)
    page.join()
    assert last[-1].startswith("<!doctype html>")
    assert watch.finished
    assert heard[-1] == ("sweep: L0.H1", 3, 9)
    with pytest.raises(OSError):
        get(address, "state")
