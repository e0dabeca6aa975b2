import json

import pytest
from command_line import headatlas

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
