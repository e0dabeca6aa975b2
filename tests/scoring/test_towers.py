"""Heads of other towers: z captured, means, single ablation, scores and head sets that carry the tower's name."""

import numpy as np
import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, ZReader, mean, zero
from headatlas.intervention import mean_z
from headatlas.proof.processor import write_checkpoint
from headatlas.scoring import Atlas
from headatlas.vlm import conversation, encode, load_vlm


class Data(list):
    """Questions with what the runner and the scorers ask of a dataset."""

    @property
    def fingerprint(self):
        return str(len(self))

    def split(self, name):
        return Data(question for question in self if question.split == name)


@pytest.fixture(scope="module")
def acts(tiny_vlm, tiny_questions, tmp_path_factory):
    return ha.capture(tiny_vlm, Data(tiny_questions), "all", tower="V", out=tmp_path_factory.mktemp("v") / "a")


def z_of(vlm, question, tower):
    batch = encode(vlm, [conversation(question)])
    with torch.no_grad(), ZReader(vlm.heads, tower) as reader:
        vlm.model(**batch.to(vlm.device, vlm.dtype), use_cache=False)
    return batch, reader.z


def test_z_of_the_vision_tower_is_the_mean_over_the_picture(tiny_vlm, tiny_questions, acts):
    assert (acts.tower, acts.shape[1:]) == ("V", tiny_vlm.heads.dims("V"))
    row = 0
    for question in tiny_questions[:3]:
        _, z = z_of(tiny_vlm, question, "V")
        wanted = np.stack([z[layer].mean((0, 1)).numpy() for layer in sorted(z)])
        for _ in question.steps:
            np.testing.assert_allclose(acts.z("all", [row])[0], wanted, atol=1e-5)
            row += 1


def test_the_picture_has_no_tokens_of_a_step(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="tokens must be 'all' for tower V"):
        ha.capture(tiny_vlm, Data(tiny_questions), "gold", tower="V")


def test_cross_attention_is_captured_at_the_tokens_of_a_step(tiny_questions, tmp_path_factory):
    vlm = load_vlm(write_checkpoint("mllama", tmp_path_factory.mktemp("mllama")), device="cpu")
    question = tiny_questions[0]
    made = ha.capture(vlm, Data([question]), "gold", tower="X")
    batch, z = z_of(vlm, question, "X")
    start, end = batch.spans[0][1]
    wanted = np.stack([z[layer][0, start : end - batch.ends[0][1]].mean(0).numpy() for layer in sorted(z)])
    np.testing.assert_allclose(made.z("gold", [1])[0], wanted, atol=1e-5)


def test_a_tower_that_is_not_there(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="tower X of this model has no"):
        ha.capture(tiny_vlm, Data(tiny_questions), tower="X")


def test_scores_are_the_losses_of_single_heads_and_carry_the_tower(tiny_vlm, tiny_questions, acts, tmp_path):
    data = Data(tiny_questions)
    atlas = ha.score(
        acts, ["ablation", "specificity"], tokens="all", vlm=tiny_vlm, data=data, n_null=20, ablation={"operation": "zero"},
        specificity={"operation": "zero"},
    )  # fmt: skip
    values = atlas.of("ablation").of("spatial_perception")
    assert values.shape == tiny_vlm.heads.dims("V")[:2]
    questions = data.split("S")
    before = ha.evaluate(tiny_vlm, questions)
    steps = before["functions"].str.split("|").map(lambda names: "spatial_perception" in names)
    with tiny_vlm.edit(zero(HeadSet([Head(1, 0, "V")]))):
        after = ha.evaluate(tiny_vlm, questions)
    assert values[1, 0] == pytest.approx((before["logprob"] - after["logprob"])[steps].mean(), abs=1e-4)
    assert {head.tower for head in atlas.ranking("spatial_perception", "specificity")} == {"V"}
    assert atlas.heads("spatial_perception", "ablation", "top_k", k=2).towers() == ("V",)
    again = Atlas.load(atlas.save(tmp_path))
    assert again.ranking("spatial_perception") == atlas.ranking("spatial_perception")


@pytest.mark.parametrize("scorer", ["multihead", "backup", "attention"])
def test_scorers_of_the_language_model_refuse_another_tower(tiny_vlm, tiny_questions, acts, scorer):
    with pytest.raises(HeadAtlasError, match="scores heads of the language model, got activations of tower V"):
        ha.score(acts, scorer, tokens="all", vlm=tiny_vlm, data=Data(tiny_questions))


def test_means_in_place_of_vision_heads(tiny_vlm, tiny_questions, acts):
    """Mean ablation puts the head's mean at every position of every picture."""
    data, head = Data(tiny_questions), Head(0, 1, "V")
    means = mean_z(acts, "P")
    atlas = ha.score(acts, "ablation", tokens="all", vlm=tiny_vlm, data=data, n_null=5)
    _, z = z_of(tiny_vlm, data.split("S")[0], "V")
    assert z[0].shape[-1] == means.shape[-1]
    values = torch.from_numpy(means)
    questions = data.split("S")
    before = ha.evaluate(tiny_vlm, questions)
    with tiny_vlm.edit(mean(HeadSet([head]), values)):
        after = ha.evaluate(tiny_vlm, questions)
    steps = before["functions"].str.split("|").map(lambda names: "information_extraction" in names)
    wanted = (before["logprob"] - after["logprob"])[steps].mean()
    assert atlas.of().of("information_extraction")[0, 1] == pytest.approx(wanted, abs=1e-4)
