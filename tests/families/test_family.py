"""One entry per family, found by model type; other packages add their own."""

from types import SimpleNamespace

import pytest

from headatlas.families import FAMILIES, ChatFormat, Family, TinyModel, counts_positions, family_of
from headatlas.proof.build import MODEL_TYPES


@pytest.fixture
def added():
    family = Family("my-family", ChatFormat(appended="!"), own_positions=True)
    FAMILIES.add(family.model_type, family)
    yield family
    FAMILIES.remove(family.model_type)


def test_every_entry_is_a_family_of_transformers_under_its_own_name():
    assert set(FAMILIES) <= set(MODEL_TYPES)
    assert all(family.model_type == name for name, family in FAMILIES.items())


def test_an_entry_holds_what_the_family_needs():
    paligemma = family_of("paligemma")
    assert paligemma.chat.two_way_prefix
    assert paligemma.tiny_processor is not None
    assert paligemma.tiny_processor.processor == "PaliGemmaProcessor"
    assert family_of("fuyu").tiny_model.n_image_tokens == 4


def test_a_family_without_an_entry_needs_nothing():
    assert family_of("vipllava-next") == Family("vipllava-next")
    assert Family("x").tiny_model == TinyModel()


def test_other_packages_add_a_family(added):
    assert family_of("my-family") is added
    assert "my-family" in FAMILIES


def test_positions_are_declared_or_seen_from_the_model(added):
    def model(model_type, **more):
        return SimpleNamespace(config=SimpleNamespace(model_type=model_type), **more)

    assert counts_positions(model("my-family"))
    assert not counts_positions(model("llava"))
    assert counts_positions(model("qwen2_vl", model=SimpleNamespace(get_rope_index=None)))
