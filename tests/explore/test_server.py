"""The server over HTTP: its answers are the model's, the code it gives does the same, and nothing else gets in."""

import base64
import contextlib
import io
import json
import math

import httpx
import pytest
import torch
from PIL import Image

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.explaining import alternatives
from headatlas.explore import Desk
from headatlas.explore.mixer import in_force
from headatlas.explore.recipes import Recipes
from headatlas.explore.requests import Asked, Change, JobRequest, Picture
from headatlas.vlm import HeadRecipe
from headatlas.vlm.low_rank import linear_at

CAR = {"picture": {"example": 0}, "question": "What colour is the car?", "step": None}


@pytest.fixture(scope="module")
def web(address):
    with httpx.Client(base_url=address, headers={"origin": address}, timeout=60) as client:
        yield client


def job(web, kind, asked=CAR, **more):
    reply = web.post("/api/job", json={"kind": kind, "asked": asked, **more})
    assert reply.status_code == 200, reply.text
    version = -1
    while True:
        news = web.get(f"/api/job/{reply.json()['id']}?version={version}").json()
        if news["state"] not in ("waiting", "running"):
            return news
        version = news["version"]


def test_the_answer_and_effects_are_the_models(web, tiny_vlm, tiny_questions):
    image = tiny_questions[0].images[0]
    answer = job(web, "ask")["result"]
    assert answer["said"] == tiny_vlm.answer(image, CAR["question"])
    effects = job(web, "effects")["result"]
    assert effects["answer"] == answer["said"]
    assert len(effects["heads"]) == 8
    for head, p in zip(effects["heads"], effects["p"], strict=True):
        with tiny_vlm.edit(ha.zero(head)):
            assert p == pytest.approx(math.exp(tiny_vlm.logprob(image, CAR["question"], answer["said"])), rel=1e-3)


def test_a_step_is_asked_after_the_steps_before_it(web, tiny_vlm, tiny_questions):
    question = tiny_questions[0]
    asked = {"picture": {"example": 0}, "question": question.steps[1].text, "step": 1}
    found = job(web, "ask", asked)["result"]
    from headatlas.vlm import conversation, generate

    assert found["said"] == generate(tiny_vlm, [conversation(question, upto=1)])[0]
    assert found["gold"] == question.steps[1].answer
    assert found["earlier"][0][1] == question.steps[0].answer
    wrong = job(web, "ask", {**asked, "question": "something else"})
    assert wrong["state"] == "failed"


def test_attention_from_any_token(web, tiny_vlm, tiny_questions):
    last = job(web, "attention")["result"]
    seen = tiny_vlm.attention(tiny_questions[0].images[0], CAR["question"])
    assert last["heads"] == [str(head) for head in seen.heads]
    assert last["mass"] == pytest.approx(seen.image_mass().tolist(), abs=1e-4)
    first = job(web, "attention", position=last["positions"][-3])["result"]
    assert first["query"] == last["positions"][-3]
    assert first["words"] != last["words"]
    grid = last["map"]
    assert len(base64.b64decode(grid["values"])) == 8 * grid["rows"] * grid["columns"]
    assert job(web, "attention", position=10_000)["state"] == "failed"


CHANGES = [
    {"kind": "silence", "heads": ["L0.H1", "L1.H2"]},
    {"kind": "scale", "heads": ["L0.H0"], "factor": 3.5},
    {"kind": "gaze", "heads": ["L1.H3"], "beta": 4, "box": [0, 0, 0.5, 1]},
    {"kind": "knockout", "heads": [f"L{layer}.H{head}" for layer in (0, 1) for head in range(4)], "scope": "answer"},
]


@pytest.mark.parametrize(
    "changes", [[one] for one in CHANGES] + [CHANGES], ids=lambda one: f"{len(one)}-{one[0]['kind']}"
)
def test_the_code_of_a_mix_does_what_the_page_shows(web, changes, tiny_vlm, tiny_vlm_dir, tiny_questions, monkeypatch):
    found = job(web, "mix", changes=changes)["result"]
    monkeypatch.setattr(ha.cogvsr, "load", lambda name: {"hand": tiny_questions}[name])
    monkeypatch.setattr(ha, "load_vlm", lambda name: {tiny_vlm.name: tiny_vlm}[name], raising=False)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(found["snippet"], "snippet", "exec"), {})
    assert said.getvalue().splitlines() == [found["before"], found["after"]]
    assert not tiny_vlm.edited
    for one in found["alternatives"]:
        assert 0 <= one["before"] <= 1.000001
        assert 0 <= one["after"] <= 1.000001


@pytest.fixture(scope="module")
def recipe(tiny_vlm, tmp_path_factory):
    edits = [ha.scale("L0.H1 L1.H2", 3.0), ha.zero("L0.H3")]
    return HeadRecipe.of(tiny_vlm, "gain", edits).save(tmp_path_factory.mktemp("recipes") / "mine.recipe")


def files_of(folder):
    tensors = base64.b64encode((folder / "recipe.safetensors").read_bytes()).decode()
    return {"name": folder.name, "record": (folder / "recipe.json").read_text(), "tensors": tensors}


def test_a_recipe_in_the_mixer_is_that_recipe(recipe, tiny_vlm, tiny_questions, serving, monkeypatch):
    desk = Desk(tiny_vlm, tiny_questions, "hand", recipes=[recipe])
    with serving(desk) as at, httpx.Client(base_url=at, headers={"origin": at}, timeout=60) as client:
        (one,) = client.get("/api/about").json()["recipes"]
        assert (one["method"], one["n"], one["name"]) == ("gain", 3, "mine.recipe")
        change = {"kind": "recipe", "recipe": one["recipe"], "heads": one["heads"]}
        found = job(client, "mix", changes=[CHANGES[0], change])["result"]
    with tiny_vlm.edit(ha.zero("L0.H1 L1.H2")), HeadRecipe.load(recipe).applied(tiny_vlm):
        assert tiny_vlm.answer(tiny_questions[0].images[0], CAR["question"]) == found["after"]
        options = alternatives(tiny_vlm, desk.chat(Asked.model_validate(CAR)), 4, 16)
    assert {option.text: option.p for option in options}.items() <= {
        row["text"]: pytest.approx(row["after"], abs=1e-6) for row in found["alternatives"]
    }.items()
    monkeypatch.setattr(ha.cogvsr, "load", lambda name: {"hand": tiny_questions}[name])
    monkeypatch.setattr(ha, "load_vlm", lambda name: {tiny_vlm.name: tiny_vlm}[name], raising=False)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(found["snippet"], "snippet", "exec"), {})
    assert said.getvalue().splitlines() == [found["before"], found["after"]]


def test_a_recipe_loaded_on_the_page(recipe, tiny_vlm, web):
    def load(files):
        name = web.post("/api/recipe", json=files).json()["id"]
        while (news := web.get(f"/api/job/{name}?version=0").json())["state"] in ("waiting", "running"):
            pass
        return news

    one = load(files_of(recipe))["result"]
    assert one in web.get("/api/about").json()["recipes"]
    found = job(web, "mix", changes=[{"kind": "recipe", "recipe": one["recipe"]}])["result"]
    assert "HeadRecipe.load('mine.recipe').applied(vlm),  # the path of your recipe" in found["snippet"]
    compile(found["snippet"], "snippet", "exec")
    gone = job(web, "mix", changes=[{"kind": "recipe", "recipe": "0" * 16}])
    assert gone["error"] == "this recipe is no longer there: load it again"
    record = json.loads((recipe / "recipe.json").read_text())
    other = json.dumps({**record, "identity": {**record["identity"], "weights": "of another model"}})
    assert "is another model" in load(files_of(recipe) | {"record": other})["error"]
    damaged = load(files_of(recipe) | {"record": "{}", "name": "../<b>"})["error"]
    assert damaged.startswith("the recipe '../<b>' must be of format")


def test_recipes_that_change_weights_are_alone(tiny_vlm, tmp_path):
    (site, *_) = tiny_vlm.heads.tower("L")
    weight = linear_at(tiny_vlm, site.name).weight
    update = {site.name: (torch.full((1, weight.shape[1]), 0.1), torch.full((weight.shape[0], 1), 0.1))}
    folders = [
        HeadRecipe.of(tiny_vlm, "lora", low_rank=update, settings={"heads": ["L0.H0"]}).save(tmp_path / "lora"),
        HeadRecipe.of(tiny_vlm, "gain", [ha.scale("L0.H1", 2.0)]).save(tmp_path / "gain"),
    ]
    recipes = Recipes(tiny_vlm, folders)
    lora, gain = (Change(kind="recipe", recipe=one["recipe"]) for one in recipes.document())
    silence = Change(kind="silence", heads=("L0.H1",))
    assert in_force([silence, lora], recipes) == [lora, silence]
    assert in_force([silence, gain], recipes) == [silence, gain]
    with pytest.raises(HeadAtlasError, match="must be the only recipe"):
        in_force([lora, gain], recipes)


def test_scenes_and_uploads(web, tiny_vlm):
    drawn = {"scene": {"things": [{"cls": "car", "color": "red", "row": 2, "column": 5}], "place": "beach"}}
    for picture in (drawn, {"seed": 7}):
        assert web.get("/api/picture", params={"which": json.dumps(picture)}).headers["content-type"] == "image/png"
        assert web.post("/api/suggestions", json=picture).json()
        found = job(web, "ask", {"picture": picture, "question": "What colour is the car?"})["result"]
        code: dict = {}
        made = found["snippet"].replace("ha.load_vlm", "str").split("print")[0]
        exec(compile(made, "snippet", "exec"), code)
        assert tiny_vlm.answer(code["picture"], "What colour is the car?") == found["said"]
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(buffer, "PNG")
    upload = {"name": "../../<b>x</b>'.png", "data": base64.b64encode(buffer.getvalue()).decode()}
    kept = web.post("/api/upload", json=upload).json()
    assert (kept["width"], kept["height"]) == (30, 20)
    asked = {"picture": {"upload": kept["upload"]}, "question": "What is it?"}
    found = job(web, "ask", asked)["result"]
    assert repr(upload["name"]) in found["snippet"]
    compile(found["snippet"], "snippet", "exec")
    assert web.get("/api/picture", params={"which": json.dumps(asked["picture"])}).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "ask", "asked": {**CAR, "question": ""}}, "asked.question"),
        ({"kind": "ask", "asked": {**CAR, "question": "x" * 2001}}, "asked.question"),
        ({"kind": "no", "asked": CAR}, "kind"),
        ({"kind": "ask", "asked": {"picture": {"example": 0, "seed": 1}, "question": "a"}}, "exactly one"),
        ({"kind": "ask", "asked": {"picture": {"upload": "../../etc/passwd"}, "question": "a"}}, "upload"),
        ({"kind": "writes", "asked": CAR}, "needs a head"),
        ({"kind": "writes", "asked": CAR, "head": "L0.H0; rm"}, "head"),
        ({"kind": "mix", "asked": CAR, "changes": []}, "needs a change"),
        ({"kind": "mix", "asked": CAR, "changes": [{"kind": "gaze", "heads": ["L0.H0"]}]}, "box"),
        ({"kind": "mix", "asked": CAR, "changes": [{"kind": "scale", "heads": ["L0.H0"], "factor": 99}]}, "factor"),
        ({"kind": "mix", "asked": CAR, "changes": [{"kind": "silence"}]}, "needs a head"),
        ({"kind": "mix", "asked": CAR, "changes": [{"kind": "recipe"}]}, "fingerprint"),
        ({"kind": "mix", "asked": CAR, "changes": [{"kind": "recipe", "recipe": "../x"}]}, "recipe"),
        ({"kind": "ask", "asked": CAR, "path": "/etc"}, "path"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(web, body, words):
    reply = web.post("/api/job", json=body)
    assert reply.status_code == 422
    assert words in reply.json()["error"]
    assert "\n" not in reply.json()["error"]


def test_only_the_page_itself_is_answered(address):
    other = "http://evil.example"
    assert httpx.post(f"{address}/api/job", json={}, headers={"origin": other}).status_code == 403
    assert httpx.get(f"{address}/api/about", headers={"host": "evil.example"}).status_code == 421
    assert httpx.get(f"{address}/api/about", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    page = httpx.get(f"{address}/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{address}/../pyproject.toml").status_code == 404
    assert httpx.get(f"{address}/%2e%2e/explore.html").status_code == 404


def test_jobs_that_cannot_be_done_say_why(web):
    unknown = job(web, "writes", head="L9.H9")
    assert unknown["state"] == "failed"
    assert "L9.H9" in unknown["error"]
    assert "no longer there" in job(web, "ask", {"picture": {"upload": "0" * 32}, "question": "a"})["error"]
    assert "--run" in job(web, "mix", changes=[{"kind": "steer", "heads": ["L0.H0"], "function": "x"}])["error"]
    assert web.get("/api/job/nothing").status_code == 404
    assert web.get("/api/picture", params={"which": "{}"}).status_code == 422


@pytest.mark.parametrize("version", ["--5", "1.5", "-", "", "9" * 400, "\u00b2"])
def test_a_version_that_is_no_number_is_an_unknown_one(web, version):
    name = web.post("/api/job", json={"kind": "ask", "asked": CAR}).json()["id"]
    assert web.get(f"/api/job/{name}", params={"version": version}).status_code == 200


def test_examples_of_a_head(web, tiny_questions):
    found = job(web, "examples", head="L0.H0")["result"]
    assert found["n"] == sum(len(question.steps) for question in tiny_questions)
    falls = [one["fall"] for one in found["examples"]]
    assert falls == sorted(falls, reverse=True)
    for one in found["examples"]:
        assert tiny_questions[one["example"]].steps[one["step"]].text == one["text"]


def test_groups(web):
    found = job(web, "groups")["result"]
    assert {"sets", "path", "pairs", "hidden"} == set(found)
    json.dumps(found, allow_nan=False)


def test_requests_are_models():
    with pytest.raises(ValueError, match="exactly one"):
        Picture()
    assert Change(kind="silence", heads=("L0.H0",)).scope == "all"
    assert JobRequest.model_validate({"kind": "ask", "asked": CAR}).changes == ()


def test_questions_without_functions_are_one_task(tiny_vlm):
    rows = [
        {"image": Image.new("RGB", (24, 24), (i, 9, 90)), "question": "Is it red?", "answer": "no"} for i in range(4)
    ]
    desk = Desk(tiny_vlm, ha.cogvsr.from_rows(rows), "mine")
    assert [one["title"] for one in desk.about()["functions"]] == ["This task"]
    assert desk.about()["start"]["question"] == "Is it red?"
    (one,) = desk.pictures.suggestions(Picture(example=0))
    assert (one["text"], one["answer"]) == ("Is it red?", "no")
