import numpy as np
import pytest
import torch

from headatlas.reference import pool as pools
from headatlas.reference.patches import PATCH_FIELDS, patch_labels
from headatlas.reference.pool import MARKS, PoolSettings, prepare, to_float, to_uint8
from headatlas.scenes.build import symbolic
from headatlas.scenes.render import render

from .conftest import TINY

SETTINGS = PoolSettings(n_scenes=4, seed=7)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return prepare(SETTINGS, "llava", TINY, tmp_path_factory.mktemp("pool"), workers=1)


def test_pixels_are_the_processors(processor):
    image = render(next(symbolic(1, "train", 7)).scene)
    wanted = processor.image_processor([image], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(to_float(processor, to_uint8([image], 144)), wanted, rtol=0, atol=1e-6)


def test_marked_pictures_are_the_arms_of_sha(tmp_path):
    """Each scene's picture with marks is what the arm of SHA shows for its own question."""
    from headatlas.latent import arms

    made = prepare(PoolSettings(n_scenes=4, seed=7, marked=True), "llava", TINY, tmp_path, workers=1)
    every = arms()
    for i, one in enumerate(symbolic(4, "train", 7)):
        shown, preamble = every[MARKS[i % 3]](one.rendered())
        assert preamble == ""
        np.testing.assert_array_equal(made.marked_images(np.array([i]))[0], to_uint8(list(shown), 144)[0])
        assert not np.array_equal(made.marked[i], made.pixels[i])


def test_a_pool_without_marks_is_opened_again_as_one_from_before_there_were_marks(pool):
    assert "marked" not in SETTINGS.facts()
    assert pool.marked is None


def test_mirrors_show_the_mirrored_scene(pool):
    scenes = [made.scene for made in symbolic(4, "train", 7)]
    images = pool.images(np.array([1, 5]))
    np.testing.assert_array_equal(images[0], to_uint8([render(scenes[1])], 144)[0])
    np.testing.assert_array_equal(images[1], to_uint8([render(scenes[1].mirrored())], 144)[0])
    np.testing.assert_array_equal(pool.patches[5], patch_labels(scenes[1].mirrored()))


def test_patch_labels_name_each_thing_in_its_cell():
    scene = next(symbolic(1, "train", 8)).scene
    labels = patch_labels(scene)
    fields = list(PATCH_FIELDS)
    for thing in scene.things:
        found = labels[(thing.row - 1) * 6 + thing.column - 1]
        said = {field: PATCH_FIELDS[field][found[fields.index(field)]] for field in fields}
        assert said["thing"] == thing.cls
        assert (said["color"], said["facing"], said["depth"]) == (thing.color, thing.facing, thing.depth)
        assert (said["row"], said["column"]) == (thing.row, thing.column)
    empty = labels[:, fields.index("thing")] == 0
    assert empty.sum() == 36 - len(scene.things)
    assert (labels[empty][:, fields.index("color")] == 255).all()


def test_quizzes_ask_what_one_look_answers(pool, tokenizer):
    for i in range(len(pool.lengths("quiz"))):
        text = tokenizer.decode(pool.row("quiz", i).ids)
        assert 1 <= text.count("<|assistant|>") <= pools.QUIZ_STEPS
        assert "just named" not in text
        assert "which answer" not in text


def test_the_same_however_many_processes_make_it(pool, tmp_path, monkeypatch):
    # In this process, one share after the other: what is tested is the putting together.
    monkeypatch.setattr(pools, "ProcessPoolExecutor", _OneAfterTheOther)
    other = prepare(SETTINGS, "llava", TINY, tmp_path, workers=3)
    np.testing.assert_array_equal(other.pixels, pool.pixels)
    for kind in pools.KINDS:
        assert len(pool.lengths(kind)) == len(other.lengths(kind))
        np.testing.assert_array_equal(other.ids[kind], pool.ids[kind])
        np.testing.assert_array_equal(other.scene[kind], pool.scene[kind])
    np.testing.assert_array_equal(other.patches, pool.patches)


def test_made_once(tmp_path, monkeypatch):
    prepare(PoolSettings(2, 1, mirrors=False), "llava", TINY, tmp_path, workers=1)
    monkeypatch.setattr(pools, "_render", None)
    monkeypatch.setattr(pools, "_converse", None)
    again = prepare(PoolSettings(2, 1, mirrors=False), "llava", TINY, tmp_path, workers=1)
    assert len(again) == 2
    with pytest.raises(TypeError):
        prepare(PoolSettings(3, 1, mirrors=False), "llava", TINY, tmp_path, workers=1)


def test_scenes_are_rendered_once_for_all_families(pool, tmp_path, monkeypatch):
    prepare(SETTINGS, "llava", TINY, tmp_path, workers=1)
    monkeypatch.setattr(pools, "_render", None)
    other = prepare(SETTINGS, "internvl", TINY, tmp_path, workers=1)
    np.testing.assert_array_equal(other.pixels, pool.pixels)
    np.testing.assert_array_equal(other.patches, pool.patches)
    for kind in pools.KINDS:
        np.testing.assert_array_equal(other.scene[kind], pool.scene[kind])
        assert (other.lengths(kind) > pool.lengths(kind)).all()
    again = prepare(SETTINGS, "llava", TINY, tmp_path, workers=1)
    np.testing.assert_array_equal(again.ids["own"], pool.ids["own"])


class _OneAfterTheOther:
    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    map = staticmethod(map)
