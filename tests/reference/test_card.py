import pytest

from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.errors import HeadAtlasError
from headatlas.reference.card import WAYS, measure, write_card


def test_card_tells_what_was_measured(exported, tiny_recipe, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    figures = measure(folder, 4)
    assert set(figures["way"]) == {*WAYS, "direct"}
    by_function = figures[(figures["way"] == "gold") & (figures["group_kind"] == "function")]
    assert set(by_function["group"]) <= set(FUNCTIONS)
    assert ((figures["low"] <= figures["accuracy"]) & (figures["accuracy"] <= figures["high"])).all()
    assert (figures[figures["group_kind"] == "final"]["n"] == 4).all()
    write_card(folder, tiny_recipe, 2, figures)
    card = (folder / "README.md").read_text()
    for name in by_function["group"]:
        assert TITLES[name] in card
    assert (folder / "figures.csv").exists()
    assert "nan" not in card


def test_needs_a_question(exported):
    with pytest.raises(HeadAtlasError, match="n must be at least 1"):
        measure(exported, 0)
