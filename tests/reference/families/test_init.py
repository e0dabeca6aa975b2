import pytest

from headatlas.errors import HeadAtlasError
from headatlas.reference.families import FAMILIES, family_named
from headatlas.reference.recipe import Recipe


def test_names_are_told_for_an_unknown_one():
    with pytest.raises(HeadAtlasError, match="llava, qwen2_5_vl, internvl, gemma3"):
        family_named("llava2")


def test_shipped_names_differ():
    assert len({family.shipped for family in FAMILIES.values()}) == len(FAMILIES)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_recipe_is_ref_llavas_but_for_what_the_family_declares(name):
    recipe, family = Recipe.of(name), FAMILIES[name]
    differs = {key for key, value in vars(recipe).items() if value != getattr(Recipe(), key)}
    assert differs <= {"family", "shape", *family.settings}
    assert recipe.shape == family.shape
