"""Planting: what is silenced and asked for, and a run that is resumed ends with the same weights."""

import numpy as np
import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.truth.layout import Layout, Plant
from headatlas.truth.plant import IGNORED, Planter, PlantRecipe, Treatment, silence_masks, targets, treat
from headatlas.truth.silence import Silencer
from headatlas.vlm import conversation
from headatlas.vlm.batch import encode

SHAPE = (6, 8)
LAYOUT = Layout(
    (
        Plant("spatial_perception", "single", (Head(4, 1),)),
        Plant("knowledge_recall", "redundant", (Head(4, 2), Head(5, 0))),
    ),
    first_layer=3,
)
RECIPE = PlantRecipe(steps=4, rows=4, n_questions=6, checkpoint_every=2, warmup=1)


@pytest.fixture(scope="module")
def questions():
    return list(ha.cogvsr.load("cogvsr-mini"))[:3]


def drawn(functions, n=400):
    rng = np.random.default_rng(0)
    return [treat(functions, LAYOUT, SHAPE, RECIPE, rng) for _ in range(n)]


def test_a_silenced_single_head_makes_its_steps_uninformative_and_no_others():
    found = [t for t in drawn(["spatial_perception", "math_reasoning"]) if t.everywhere == (Head(4, 1),)]
    assert found
    assert all(t.uninformative == {0} for t in found)


def test_one_of_a_redundant_pair_keeps_the_answers():
    treatments = drawn(["knowledge_recall"])
    alone = [t for t in treatments if t.everywhere in ((Head(4, 2),), (Head(5, 0),))]
    both = [t for t in treatments if len(t.everywhere) == 2]
    assert alone
    assert both
    assert not any(t.uninformative for t in alone)
    assert all(t.uninformative == {0} for t in both)


def test_sufficiency_never_silences_the_functions_own_head():
    found = [t.at_turn for t in drawn(["spatial_perception"]) if t.at_turn is not None]
    assert found
    assert all(Head(4, 1) not in at_turn[0] for at_turn in found)
    assert all(head.layer >= 3 for at_turn in found for head in at_turn[0])


def test_targets_and_masks(questions):
    vlm = ha.load_vlm("ref-llava", device="cpu")
    batch = encode(vlm, [conversation(question) for question in questions])
    functions = [[step.functions[0] for step in question.steps] for question in questions]
    treatments = [
        Treatment((Head(4, 1),), uninformative=frozenset({0})),
        Treatment(at_turn={1: (Head(5, 3),)}),
        Treatment(),
    ]
    labels = targets(batch, functions, treatments, np.random.default_rng(0))
    start, end = batch.spans[0][0]
    assert labels[0, start] != IGNORED
    assert (labels[0, start + 1 : end] == IGNORED).all()
    start, end = batch.spans[1][0]
    assert (labels[1, start:end] == batch.ids[1, start:end]).all()
    masks = silence_masks(batch, treatments, SHAPE)
    assert set(masks) == {4, 5}
    assert masks[4][0, :, 1].all()
    assert not masks[4][1:].any()
    start, end = batch.spans[1][1]
    assert masks[5].nonzero()[:, 1].unique().tolist() == list(range(start - 1, end - 1))


def test_zeros_in_place_of_z_are_an_exact_ablation(questions):
    vlm = ha.load_vlm("ref-llava", device="cpu")
    batch = encode(vlm, [conversation(question) for question in questions])
    inputs = batch.to(vlm.device, torch.float32)
    mask = torch.zeros((*batch.ids.shape, SHAPE[1]), dtype=torch.bool)
    mask[..., 1] = True
    silencer = Silencer(vlm.heads)
    with torch.no_grad():
        with silencer.silencing({4: mask}, ["zero"] * len(questions), batch.mask):
            silenced = vlm.model(**inputs).logits
        with vlm.edit(ha.zero("L4.H1")):
            edited = vlm.model(**inputs).logits
        bare = vlm.model(**inputs).logits
    real = batch.mask
    torch.testing.assert_close(silenced[real], edited[real], atol=1e-4, rtol=1e-4)
    assert (silenced[real] - bare[real]).abs().max() > 1e-2


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    def weights(vlm):
        return {name: parameter.detach().clone() for name, parameter in vlm.model.named_parameters()}

    straight = ha.load_vlm("ref-llava", device="cpu")
    before = weights(straight)
    Planter(straight, LAYOUT, RECIPE, tmp_path / "straight", lambda line: None).run()

    stopped = ha.load_vlm("ref-llava", device="cpu")
    planter = Planter(stopped, LAYOUT, RECIPE, tmp_path / "stopped", lambda line: None)
    for planter.step in (0, 1):
        planter._one_step()
    planter.step = 2
    planter.checkpoint()
    resumed = ha.load_vlm("ref-llava", device="cpu")
    Planter(resumed, LAYOUT, RECIPE, tmp_path / "stopped", lambda line: None).run()

    after, again = weights(straight), weights(resumed)
    assert all(torch.equal(after[name], again[name]) for name in after)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all("language_model" in name or name.startswith("lm_head") for name in changed)


def test_a_work_folder_of_another_layout_is_refused(tmp_path):
    vlm = ha.load_vlm("ref-llava", device="cpu")
    Planter(vlm, LAYOUT, RECIPE, tmp_path, lambda line: None)
    with pytest.raises(HeadAtlasError, match="another model, layout or recipe"):
        Planter(vlm, Layout.drawn(1, SHAPE), RECIPE, tmp_path, lambda line: None)
    with pytest.raises(HeadAtlasError, match=r"grid of 6 x 8, got L9\.H0"):
        Planter(vlm, Layout((Plant("math_reasoning", "single", (Head(9, 0),)),)), RECIPE, tmp_path / "b", print)
