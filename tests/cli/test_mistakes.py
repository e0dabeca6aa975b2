"""Misspelled options, settings and names: one line, exit code 2, no files and no network requests."""

import shlex
import socket

import pytest
from PIL import Image

from headatlas.cli import main

NEW = "study ref-llava --out r"
MISTAKES = {
    f"{NEW} --set operaton=zero": "did you mean 'operation'",
    f"{NEW} --set operation=zer": "did you mean 'zero'",
    f"{NEW} --set scorers=paper,linaer": "did you mean 'linear'",
    f"{NEW} --set scorers=paper,paper": "each value once",
    f"{NEW} --set alphas=0.5,x": "valid number",
    f"{NEW} --set alphas=inf": "finite",
    f"{NEW} --set doses=1,-2": "greater than 0",
    f"{NEW} --set detector=x": "ground_truth",
    f"{NEW} --set selector=nul": "did you mean 'null'",
    f"{NEW} --set tokens=golds": "did you mean 'gold'",
    f"{NEW} --set batch_size=0": "greater than or equal to 1",
    f"{NEW} --set seed=1": "use --seed",
    f"{NEW} --preset strct": "did you mean 'strict'",
    f"{NEW} --data sceness": "did you mean 'scenes'",
    f"{NEW} --data ./none.jsonl": "no such dataset",
    f"{NEW} --devices gpu": "device must be",
    f"{NEW} --dtype bf16": "invalid value for '--dtype': 'bf16' is not one of 'float32'",
    f"{NEW} --store s4://x": "Protocol not known",
    "study ref-lava --out r": "did you mean 'ref-llava'",
    "study ./nowhere/model --out r": "no model at",
    "study Qwen2.5-VL --out r": "must be a shipped one",
    "study ref-llava ref-lava --out r": "did you mean 'ref-llava'",
    "capture --out r --model ref-lava": "did you mean 'ref-llava'",
    "capture --out nowhere": "no run in 'nowhere'",
    "report --out nowhere": "no run in 'nowhere'",
    "ablate --out r --sweep hed": "did you mean 'heads'",
    "ablate --out r --sweep heads --scope al": "did you mean 'all'",
    "sweep hed --out r": "did you mean 'heads'",
    "sweep heads --out nowhere": "no run in 'nowhere'",
    "sweep heads --out r --top 3": "--top does not apply to",
    "ablate --out r --top 3": "applies only to a sweep",
    "data build scens --out d": "did you mean 'scenes'",
    "data build --splits X --out d": "splits must be",
    "data import vsrr --from x --out d": "did you mean 'vsr'",
    "data import vsr --from nowhere --out a/b/d": "no such file or folder",
    "data judge .": "not a regular file",
    "data judge /": "not a regular file",
    "data judge nowhere.csv": "not a readable CSV",
    "data decompose cogvsr-mini --out / --model m": "root of a disk",
    "data decompose cogvsr-mini --out d --model m --base-url htp://x": "http",
    "data review-agreement cogvsr-mini --db nowhere.sqlite": "no such file of votes",
    "models show ref-lava": "did you mean 'ref-llava'",
    "stduy ref-llava": "no such command 'stduy', did you mean 'study'?; headatlas --help",
    "data biuld scenes": "no such command 'biuld', did you mean 'build'?; headatlas data --help",
    f"{NEW} --prest paper": "no such option: --prest, did you mean '--preset'?",
    "study": "missing argument 'MODEL...'",
    f"{NEW} --n ten": "invalid value for '--n'",
    "explain ref-llava none.png What?": "cannot read image",
    "answer ref-llava none.png ''": "question must be a text",
    "explore ref-llava --data cogvsr-mni": "did you mean 'cogvsr-mini'",
    "explore ref-lava": "did you mean 'ref-llava'",
    "explore ref-llava --run none": "no run in 'none'",
    "explore ref-llava --recipe none": "is no recipe",
}


WRITERS = (
    "explain ref-llava {picture} x --out {folder}",
    "explore ref-llava --export {file}/site",
    "grade --scorers random --out {file}",
    "calibrate --out {file}",
    "data boxes cogvsr-mini --out {file}",
    "reference train --out {file}",
    "reference plant ref-llava --out {file}/world",
    "compare {folder} {folder} --out {file}",
)


WORK = (
    *("vlm.loading.Loading.load", "truth.grade.planted_case", "truth.calibrate.calibrate", "truth.world.Planter"),
    *("reference.train.make_pools", "compare.write.read_models"),
)
"""What these commands do first that takes long."""


@pytest.mark.parametrize("words", WRITERS)
def test_a_place_that_cannot_be_written_is_said_before_the_work(words, tmp_path, monkeypatch, capsys):
    """Each of these takes minutes to hours, and used to lose all of it."""

    def work(*args, **kwargs):
        raise AssertionError("the work began")

    for name in WORK:
        monkeypatch.setattr(f"headatlas.{name}", work)
    folder, file, picture = tmp_path / "folder", tmp_path / "file", tmp_path / "a.png"
    folder.mkdir()
    file.touch()
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words.format(folder=folder, file=file, picture=picture)))
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert "must be a" in said
    assert "name a" in said
    assert "\n" not in said  # no bar


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert said.startswith("headatlas: ")
    assert "\n" not in said
    assert MISTAKES[words] in said
    assert asked == []
    assert list(tmp_path.iterdir()) == []
