"""Latent worlds: the truth that surgery makes, and grades against it."""

import numpy as np
import pandas as pd
import pytest

import headatlas as ha
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.truth import load_world
from headatlas.truth.latent import LatentWorld, draw, grade_latent, latent_rates, latent_world, parse_latent
from headatlas.truth.page import latent_page


def test_surgery_makes_heads_faint_whose_effect_is_known():
    world = latent_world("planted-llava-1", heads=HeadSet("L5.H7 L2.H0"), factor=0.02, n=40)
    c = FUNCTIONS.index("spatial_perception")
    assert HeadSet.from_mask(world.truth[c]) == HeadSet("L5.H7"), "the head that was planted for spatial perception"
    assert world.effect[c, 5, 7] > 0.5
    assert world.restorable is not None
    assert world.restorable[c, 5, 7]
    assert np.isfinite(world.effect[c, 2, 0])
    assert np.isnan(world.effect[c, 0, 0])
    faint, restored = world.accuracy["spatial_perception"]
    assert faint < restored - 0.2
    assert "L5.H7" in repr(world)
    whole = ha.load_vlm(str(load_world("planted-llava-1").path), device="cpu")
    site = world.vlm.heads.tower("L")[5].module.weight
    own = whole.heads.tower("L")[5].module.weight
    d = world.vlm.heads.tower("L")[5].d_head
    assert (site[:, 7 * d :] == own[:, 7 * d :] * 0.02).all()
    assert (site[:, : 7 * d] == own[:, : 7 * d]).all()


def test_a_head_that_matters_although_it_is_faint_is_not_latent():
    world = latent_world("planted-llava-1", heads=HeadSet("L5.H7"), factor=0.5, n=40)
    c = FUNCTIONS.index("spatial_perception")
    assert not world.truth.any(), "half of it is still needed"
    assert world.effect[c, 5, 7] != 0


def test_mistakes_are_one_line():
    with pytest.raises(HeadAtlasError, match=r"factor must be from 0 to 0.5, got 2"):
        latent_world("ref-llava", factor=2)


def test_a_world_is_named_by_model_layout_and_factor():
    assert parse_latent("ref-gemma:1:0.1") == ("ref-gemma", 1, 0.1)
    assert parse_latent("C:/models/mine:2:0") == ("C:/models/mine", 2, 0.0)
    for text in ("ref-gemma", "ref-gemma:1", "ref-gemma:one:0.1"):
        with pytest.raises(HeadAtlasError, match="must be MODEL:LAYOUT:FACTOR"):
            parse_latent(text)


def test_layouts_draw_few_of_the_needed_heads():
    needed = np.zeros((3, 8), bool)
    needed[1] = True
    drawn = [draw(needed, layout) for layout in range(5)]
    assert all(len(heads) == 4 and all(head.layer == 1 for head in heads) for heads in drawn)
    assert len({str(heads) for heads in drawn}) > 1
    assert draw(needed, 3) == drawn[3]
    assert not draw(np.zeros((3, 8), bool), 0)


@pytest.fixture
def grades(tiny_vlm):
    """One true head found, one missed, one false; a faint head that is not true is neither."""
    truth = np.zeros((8, 2, 4), bool)
    truth[FUNCTIONS.index(SPATIAL[0]), 0, :2] = True

    accuracy = dict.fromkeys(SPATIAL, (0.4, 0.9))

    def grade(factor):
        world = LatentWorld(
            "made", tiny_vlm, HeadSet("L0.H0 L0.H1 L0.H2"), factor, truth, np.zeros(truth.shape), accuracy
        )
        found = [("L", 0, 0, True), ("L", 0, 2, True), ("L", 1, 3, True), ("L", 0, 1, False)]
        table = pd.DataFrame([(SPATIAL[0], layer, head, latent) for _, layer, head, latent in found],
                             columns=["function", "layer", "head", "latent"])  # fmt: skip
        return grade_latent(world, table)

    return grade


def test_what_was_found_is_compared_with_the_truth(grades):
    row = grades(0.05).iloc[0]
    assert (row["true"], row["found"], row["hits"], row["false"]) == ("L0.H0 L0.H1", "L0.H0 L0.H2 L1.H3", 1, 1)
    assert latent_rates(grades(0.05)) == {"recall": 0.5, "false_discoveries": pytest.approx(1 / 3)}


def test_the_page_has_both_rates(grades):
    page = latent_page(grades(0.05))
    assert "Recall 0.50, false discoveries 0.33." in page
    assert "| 1 of 2 | 1 |" in page


def test_nothing_found_among_distractors_is_right(grades):
    assert grades(0.0)["false"].tolist() == [3, 0]
