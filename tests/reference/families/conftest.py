"""Every family of reference VLMs as small as possible, and one short training run of each, on the same rendered scenes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from headatlas.reference.build import build_tokenizer
from headatlas.reference.families import FAMILIES
from headatlas.reference.tokens import scene_words
from headatlas.reference.train import Trainer


def tiny(family):
    """The family's sizes, shrunk; its proportions (patches per cell, grouped queries) kept."""
    grouped = 2 if family.shape.kv_heads else None
    return replace(
        family.shape, vision_width=16, vision_layers=2, vision_heads=2, width=32, layers=2, heads=4, mlp=32, kv_heads=grouped
    )  # fmt: skip


@pytest.fixture(scope="session", params=[name for name, family in FAMILIES.items() if family.base is None])
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="session")
def shape(family):
    return tiny(family)


@pytest.fixture(scope="session")
def words_of(family):
    """The family's tokenizer."""
    return build_tokenizer(scene_words(), family.form)


@pytest.fixture(scope="session")
def maker(family, words_of, shape):
    """The family's processor."""
    return family.processor(words_of, shape)


@pytest.fixture(scope="session")
def model(family, words_of, shape):
    return family.model(words_of, shape, 3).eval()


@pytest.fixture(scope="session")
def run_of(family, shape, trained, tiny_recipe, tmp_path_factory):
    """A finished run of the family on the scenes that were rendered for the LLaVA run."""
    scenes = tmp_path_factory.mktemp(f"scenes_{family.name}")
    for folder in ("pool", "held_out"):
        shutil.copytree(trained.work / folder, scenes / folder)
    recipe = replace(tiny_recipe, family=family.name, shape=shape)
    trainer = Trainer(recipe, tmp_path_factory.mktemp(family.name), scenes=scenes)
    trainer.run()
    return trainer


@pytest.fixture(scope="session")
def folder_of(run_of, tmp_path_factory):
    """The model folder of the family's run."""
    folder = tmp_path_factory.mktemp("model")
    run_of.export(folder)
    return folder
