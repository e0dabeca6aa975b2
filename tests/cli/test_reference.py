import json

import pytest
from typer.testing import CliRunner

from headatlas.cli.reference import reference_app
from headatlas.errors import HeadAtlasError
from headatlas.reference import names, path


def test_list_names_every_shipped_model():
    out = CliRunner().invoke(reference_app, ["list", "--json"], catch_exceptions=False)
    assert json.loads(out.stdout) == {name: str(path(name)) for name in names()}


def test_card_of_an_unknown_model():
    with pytest.raises(HeadAtlasError, match="shipped model must be one of"):
        CliRunner().invoke(reference_app, ["card", "nothing"], catch_exceptions=False)


def test_train_refuses_no_time(tmp_path):
    with pytest.raises(HeadAtlasError, match="above 0 minutes"):
        CliRunner().invoke(
            reference_app, ["train", "--out", str(tmp_path / "o"), "--minutes", "0"], catch_exceptions=False
        )
    assert not (tmp_path / "o").exists()
