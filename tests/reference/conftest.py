"""A training run as small as possible: a few scenes, a few steps, a few thousand weights; made once for all tests here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headatlas.reference.build import Shape, build_tokenizer
from headatlas.reference.families import FAMILIES
from headatlas.reference.recipe import Recipe
from headatlas.reference.tokens import scene_words
from headatlas.reference.train import Trainer

TINY = Shape(vision_width=16, vision_layers=1, vision_heads=2, width=32, layers=2, heads=4, mlp=32)


@pytest.fixture(scope="session")
def tiny_recipe():
    return replace(
        Recipe(), shape=TINY, n_scenes=6, n_held_out=4, steps=(3, 3, 3, 2), horizons=(3, 3, 4, 2), warmups=(2, 2, 2, 1),
        vision_batch=4, tokens=512, bfloat16=False,
        compiled=False, evaluate_every=4, checkpoint_every=2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def llava():
    return FAMILIES["llava"]


@pytest.fixture(scope="session")
def tokenizer(llava):
    return build_tokenizer(scene_words(), llava.form)


@pytest.fixture(scope="session")
def processor(llava, tokenizer):
    return llava.processor(tokenizer, TINY)


@pytest.fixture(scope="session")
def trained(tiny_recipe, tmp_path_factory):
    """A finished run, in one go, and its work folder."""
    trainer = Trainer(tiny_recipe, tmp_path_factory.mktemp("work"))
    trainer.run()
    return trainer


@pytest.fixture(scope="session")
def with_marks(tiny_recipe, tmp_path_factory):
    """A finished run with marked pictures."""
    trainer = Trainer(replace(tiny_recipe, marks=0.8), tmp_path_factory.mktemp("marks"))
    trainer.run()
    return trainer


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    trained.export(folder)
    return folder
