import json

import pytest
from command_line import headatlas

from headatlas.cli.commands.reference import _train_command
from headatlas.errors import HeadAtlasError
from headatlas.shipped import names, path, worlds


def test_list_names_every_shipped_model():
    out = headatlas("reference", "list", "--json")
    assert json.loads(out.stdout) == {name: str(path(name)) for name in (*names(), *worlds())}


def test_card_of_an_unknown_model():
    with pytest.raises(HeadAtlasError, match="no shipped model"):
        headatlas("reference", "card", "nothing")


def test_train_refuses_no_time(tmp_path):
    with pytest.raises(HeadAtlasError, match="minutes must be > 0"):
        headatlas("reference", "train", "--out", tmp_path / "o", "--minutes", "0")
    assert not (tmp_path / "o").exists()


def test_the_card_names_the_command_that_gives_the_model():
    assert _train_command("llava", None, 0, 0.0) == "headatlas reference train"
    told = _train_command("gemma3", 40.0, 1, 0.5)
    assert told == "headatlas reference train --family gemma3 --minutes 40 --seed 1 --marks 0.5"
