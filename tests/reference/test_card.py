import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.errors import HeadAtlasError
from headatlas.reference.card import COLUMNS, FREE_WORDS, WAYS, measure, write_card
from headatlas.reference.recipe import Recipe


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


def test_card_of_a_model_around_a_base_tells_free_words_and_plain_text(exported, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    rows = [
        (way, kind, group, 0.01 * (i + 1), 0.0, 1.0, 0.0, 40 + i)
        for i, way in enumerate((*WAYS, FREE_WORDS))
        for kind, group in [*(("function", name) for name in FUNCTIONS), ("final", "final"), ("family", "between")]
    ]
    rows += [
        ("direct", "final", "final", 0.21, 0.1, 0.3, 0.0, 7),
        ("plain", "plain", "tokens", 0.87, 0.85, 0.89, 0.0, 900),
    ]
    write_card(folder, Recipe.of("smol"), 2, pd.DataFrame(rows, columns=list(COLUMNS)), name="ref-mine")
    card = (folder / "README.md").read_text()
    assert "headatlas reference get smollm2" in card
    assert "headatlas reference export ref-mine FOLDER" in card
    assert f"| {TITLES['math_reasoning']} | 44 | 0.01 (0.00-1.00) | 0.05 (0.00-1.00) |" in card  # templates, free words
    assert "| Final answer | 44 |" in card
    assert "without steps: 0.21 (0.10-0.30)." in card
    assert "given the answer so far: 0.87 (0.85-0.89)." in card
    assert "{{" not in card
    assert "nan" not in card
