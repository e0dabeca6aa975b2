import io
import json
import subprocess
import sys

import pytest
from PIL import Image

from headatlas.cogvsr import Box, SceneObject, Step, load
from headatlas.cogvsr.validate import validate
from headatlas.errors import HeadAtlasError
from headatlas.importing import import_dataset, run
from headatlas.importing.draft import Draft, Picture
from headatlas.importing.fetch import Found
from headatlas.importing.registry import IMPORTERS

from .conftest import png


def records(n: int, url: str = "") -> list[dict]:
    return [
        {
            "image": f"{i // 2:012d}.jpg",  # two captions a photograph
            "image_link": f"{url}/val2017/{i // 2:012d}.jpg" if url else "",
            "caption": f"The cat is left of dog {i}.",
            "label": i % 2,
            "relation": "left of",
        }
        for i in range(n)
    ]


@pytest.fixture
def vsr(tmp_path):
    def write(n: int, url: str = "", without: tuple[int, ...] = ()):
        folder = tmp_path / "vsr"
        folder.mkdir(exist_ok=True)
        (folder / "dev.jsonl").write_text("\n".join(json.dumps(row) for row in records(n, url)))
        if not url:
            for i in range((n + 1) // 2):
                if i not in without:
                    (folder / f"{i:012d}.jpg").write_bytes(png("red", i + 2))
        return folder

    return write


def test_a_set_becomes_a_dataset_that_loads_and_holds(vsr, tmp_path):
    report = import_dataset("vsr", vsr(60), tmp_path / "out", n=40, seed=3, cache=tmp_path / "cache")
    data = load(tmp_path / "out")
    assert (len(data), report.questions, report.read, report.decomposed) == (40, 40, 60, 0)
    assert report.splits == data.splits
    assert set(report.splits) == {"P", "S", "T", "E"}
    assert list(validate(tmp_path / "out")) == []
    split_of = {}
    for question in data:
        assert question.source == "vsr"
        assert split_of.setdefault(question.scene, question.split) == question.split
        assert question.images[0].size[0] >= 2
    assert report.groups == len(split_of) == 30
    written = json.loads((tmp_path / "out.import.json").read_text())
    assert (written["licence"], written["seed"]) == (IMPORTERS["vsr"].licence, 3)


def test_the_same_seed_gives_the_same_dataset_and_images_keep_their_bytes(vsr, tmp_path):
    folder = vsr(60)
    made = [
        import_dataset("vsr", folder, tmp_path / f"o{i}", n=20, seed=seed).questions for i, seed in enumerate((0, 0, 1))
    ]
    a, b, c = (load(tmp_path / f"o{i}").fingerprint for i in range(3))
    assert made == [20, 20, 20]
    assert a == b != c
    row = next(iter(load(tmp_path / "o0").rows()))
    assert row["images"][0]["bytes"] in [png("red", i + 2) for i in range(30)]


def test_missing_images_are_listed_and_others_taken_in_their_place(vsr, tmp_path):
    report = import_dataset("vsr", vsr(40, without=(0, 1, 2)), tmp_path / "out", n=30)
    assert report.questions == 30
    assert all("no file 'val2017/" in one.reason or "no file '0" in one.reason for one in report.missing)
    everything = import_dataset("vsr", vsr(40, without=(0, 1, 2)), tmp_path / "all", n=400)
    assert everything.questions == 34
    assert len(everything.missing) == 6


def test_images_come_from_their_addresses(vsr, server, tmp_path):
    for i in range(10):
        server.answers[f"/val2017/{i:012d}.jpg"] = [(404, b"")] if i == 4 else [(200, png("red", i + 2))]
    folder = vsr(20, server.url)
    report = import_dataset("vsr", folder, tmp_path / "out", cache=tmp_path / "cache")
    assert report.questions == 18
    assert {"the server said 404" in one.reason for one in report.missing} == {True}
    asked = sum(server.asked.values())
    import_dataset("vsr", folder, tmp_path / "out", cache=tmp_path / "cache")
    assert sum(server.asked.values()) == asked + 1  # only what was not had is asked for again
    with pytest.raises(HeadAtlasError, match=r"none of 20 questions can be used; the first: .*downloads are off"):
        import_dataset("vsr", folder, tmp_path / "out", download=False, cache=tmp_path / "cache")


def test_the_same_picture_under_two_names_is_in_one_split(vsr, tmp_path):
    folder = vsr(60)
    for i in range(30):
        (folder / f"{i:012d}.jpg").write_bytes(png("red", 2 + i % 10))  # three names for each picture
    report = import_dataset("vsr", folder, tmp_path / "out")
    assert report.groups == 10
    assert list(validate(tmp_path / "out")) == []


def test_mistakes_are_one_line(vsr, tmp_path):
    folder = vsr(4)
    for changes, message in (
        ({"name": "vrs"}, "importer must be one of .*; got 'vrs', did you mean 'vsr'"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"splits": ("P", "Q")}, "splits must be one or more of P, S, T, E, got 'Q'"),
        ({"source": tmp_path / "gone"}, "no such file or folder"),
        ({"images": [tmp_path / "none"]}, "must be a folder with images"),
    ):
        options = {"name": "vsr", "source": folder, "out": tmp_path / "out", **changes}
        with pytest.raises(HeadAtlasError, match=message):
            import_dataset(**options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(HeadAtlasError, match="imported first: headatlas data import NAME"):
        load("vsr")


def test_every_importer_says_what_it_is():
    assert IMPORTERS["vsr"].name == "vsr"
    assert len(IMPORTERS) >= 19
    for one in IMPORTERS.values():
        assert one.steps in ("one", "derived", "given")
        assert one.tested_on in ("real files", "documented form")
        assert one.licence
        assert one.home.startswith("https://") or one.name == "own"


def test_hostile_records_end_in_the_list_and_nowhere_else(vsr, tmp_path):
    folder = vsr(4)
    bad = [
        {"image": "../../../etc/passwd"},
        {"image": "<script>.jpg", "image_link": "javascript:alert(1)"},
        {"caption": "\ud800"},
        {"caption": "a null character: \0"},
        {"relation": "\0"},
        {"label": float("nan")},
        {"image": ["a"]},
    ]
    lines = [json.dumps({**records(1)[0], **changes}) for changes in bad]
    lines += ["[1]", '{"x": "' + "y" * 17_000_000 + '"}', '{"image": "a\\u001b[2Jb.jpg", "caption": "c", "label": 1}']
    with (folder / "dev.jsonl").open("a") as file:
        file.write("\n" + "\n".join(lines))
    report = import_dataset("vsr", folder, tmp_path / "out", cache=tmp_path / "cache")
    assert report.questions == 4
    assert len(report.missing) + len(report.left_out) == len(lines)
    assert all(str(one).isprintable() for one in [*report.missing, *report.left_out])
    html = {**records(1)[0], "caption": "<b>&amp;</b>", "relation": "<i>on</i>"}
    (folder / "dev.jsonl").write_text(json.dumps(html))
    import_dataset("vsr", folder, tmp_path / "html")
    (question,) = load(tmp_path / "html")
    assert "<b>&amp;</b>" in question.text
    assert question.family == "<i>on</i>"


def test_boxes_of_a_set_turn_with_a_photograph_that_lay_on_its_side():
    image = Image.new("RGB", (80, 40), "blue")
    image.paste("red", (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    box = Box(x0=0, y0=0, x1=0.25, y1=0.25)
    step = Step(text="t", answer="yes", answer_type="yes_no", functions=("spatial_perception",), boxes=(box,))
    thing = SceneObject(id=0, cls="patch", box=box)
    draft = Draft("a", "t", "yes", "yes_no", (step,), (Picture("a.png"),), objects=(thing,))
    found = Found("0" * 32, buffer.getvalue)
    (row,) = run._rows([(draft, [found])], "vsr", {"a": "s"}, {"a": "E"}, ["E"])
    with Image.open(io.BytesIO(row["images"][0]["bytes"])) as upright:
        assert upright.size == (40, 80)
        for place in (row["objects"][0]["box"], row["steps"][0]["boxes"][0]):
            x, y = (place["x0"] + place["x1"]) / 2, (place["y0"] + place["y1"]) / 2
            assert upright.getpixel((int(x * 40), int(y * 80))) == (255, 0, 0)


def test_an_import_that_is_interrupted_leaves_nothing_half(vsr, tmp_path, monkeypatch):
    folder = vsr(20)
    import_dataset("vsr", folder, tmp_path / "out", n=10)
    before = load(tmp_path / "out").fingerprint
    calls = []

    def stopped(data):
        calls.append(data)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return data, 1

    monkeypatch.setattr(run, "stored_upright", stopped)
    with pytest.raises(KeyboardInterrupt):
        import_dataset("vsr", folder, tmp_path / "out", n=12)
    assert load(tmp_path / "out").fingerprint == before
    assert not (tmp_path / "out.import.json").exists()  # no report of another choice than the dataset's
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "vsr"]
    monkeypatch.undo()
    assert import_dataset("vsr", folder, tmp_path / "out", n=12).questions == 12
    assert (tmp_path / "out.import.json").exists()


def test_a_second_import_into_a_folder_is_refused_before_anything_is_read(vsr, tmp_path, monkeypatch):
    folder, asked = vsr(4), []
    monkeypatch.setattr(run, "open_origin", lambda *args: asked.append(args))
    code = (
        "import sys, time; from pathlib import Path; from headatlas.storage import locked\n"
        "with locked(Path(sys.argv[1]), 'the dataset'): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HeadAtlasError, match="another process is writing the dataset"):
            import_dataset("vsr", folder, tmp_path / "out")
        assert asked == []
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_an_import_that_fails_at_once_leaves_nothing(vsr, tmp_path):
    with pytest.raises(HeadAtlasError):
        import_dataset("vsr", tmp_path / "nowhere", tmp_path / "a" / "b" / "out")
    assert not (tmp_path / "a").exists()
