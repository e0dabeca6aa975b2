"""Surgery: its effects are exact, and errors are raised before the first change."""

import numpy as np
import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.vlm import conversation, read
from headatlas.vlm.surgery import copy_head, key_value_group, mix_output, permute_heads, scale_output, scaled_output


@pytest.fixture
def vlm(tiny_vlm_dir):
    return ha.load_vlm(tiny_vlm_dir, device="cpu")


def logprobs(vlm, questions):
    return torch.tensor([r.logprob for row in read(vlm, [conversation(q) for q in questions]) for r in row])


def gain(vlm, heads, factor):
    return vlm.edit(ha.scale(heads, factor))


def test_a_latent_head_is_restored_by_the_inverse_gain(vlm, tiny_questions):
    heads = [Head(0, 1), Head(1, 2)]
    before = logprobs(vlm, tiny_questions)
    scale_output(vlm, heads, 0.05)
    after = logprobs(vlm, tiny_questions)
    with gain(vlm, heads, 20.0):
        restored = logprobs(vlm, tiny_questions)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(restored, before, atol=1e-4, rtol=1e-4)


def test_after_the_block_weights_are_as_before_also_after_an_error(vlm, tiny_questions):
    heads, state = [Head(0, 1), Head(1, 2)], {k: v.clone() for k, v in vlm.model.state_dict().items()}
    with gain(vlm, heads, 0.1):
        wanted = logprobs(vlm, tiny_questions)
    with scaled_output(vlm, heads, 0.1):
        torch.testing.assert_close(logprobs(vlm, tiny_questions), wanted, atol=1e-5, rtol=1e-5)
    with pytest.raises(ZeroDivisionError), scaled_output(vlm, heads, 0.1):
        raise ZeroDivisionError
    assert all(torch.equal(v, state[k]) for k, v in vlm.model.state_dict().items())
    with pytest.raises(HeadAtlasError, match="language model's grid"), scaled_output(vlm, [Head(99, 0)], 0.1):
        pass


def test_a_distractor_has_no_effect_at_all(vlm, tiny_questions):
    scale_output(vlm, [Head(1, 0)], 0.0)
    before = logprobs(vlm, tiny_questions)
    with gain(vlm, [Head(1, 0)], 1000.0):
        assert torch.equal(logprobs(vlm, tiny_questions), before)


def test_permuted_heads_answer_alike_and_their_effects_move(vlm, tiny_questions):
    site = vlm.heads.tower("L")[0]
    groups = vlm.model.get_submodule(site.name.rpartition(".")[0]).k_proj.out_features // site.d_head
    size = site.n_heads // groups
    order = [g * size + i for g in reversed(range(groups)) for i in reversed(range(size))]
    bare = logprobs(vlm, tiny_questions)
    alone = []
    for head in range(site.n_heads):
        with vlm.edit(ha.zero([Head(0, head)])):
            alone.append(logprobs(vlm, tiny_questions))
    permute_heads(vlm, 0, order)
    torch.testing.assert_close(logprobs(vlm, tiny_questions), bare, atol=1e-5, rtol=1e-5)
    for new, old in enumerate(order):
        with vlm.edit(ha.zero([Head(0, new)])):
            torch.testing.assert_close(logprobs(vlm, tiny_questions), alone[old], atol=1e-5, rtol=1e-5)


def test_refusals_come_before_any_change(vlm):
    weight = vlm.heads.tower("L")[0].module.weight.clone()
    for change, message in (
        (lambda: scale_output(vlm, [], 0.5), "at least one head"),
        (lambda: scale_output(vlm, [Head(0, 0), Head(99, 0)], 0.5), "must be in the language model's grid"),
        (lambda: scale_output(vlm, [Head(0, 0)], float("nan")), "must be finite"),
        (lambda: permute_heads(vlm, 0, [0, 0, 1, 2]), "must be a permutation"),
        (lambda: permute_heads(vlm, 99, [0]), "existing layer"),
    ):
        with pytest.raises(HeadAtlasError, match=message):
            change()
    assert torch.equal(vlm.heads.tower("L")[0].module.weight, weight)


def test_a_copy_has_the_z_of_its_source_and_two_halves_are_the_whole(vlm, tiny_questions):
    source = Head(1, 0)
    target = key_value_group(vlm, source)[0]
    with vlm.edit(ha.zero([target])):
        wanted = logprobs(vlm, tiny_questions)
    copy_head(vlm, source, target, 0.5)
    scale_output(vlm, [source], 0.5)
    torch.testing.assert_close(logprobs(vlm, tiny_questions), wanted, atol=1e-4, rtol=1e-4)
    acts = ha.capture(vlm, tiny_questions, ("predict",))
    z = acts.z("predict")
    np.testing.assert_array_equal(z[:, source.layer, source.head], z[:, target.layer, target.head])
    with gain(vlm, [source], 2.0), gain(vlm, [target], 0.0):
        one = logprobs(vlm, tiny_questions)
    torch.testing.assert_close(one, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("source", "target", "strength", "message"),
    [
        (Head(0, 1), Head(1, 1), 1.0, "two of one layer"),
        (Head(0, 1), Head(0, 1), 1.0, "two of one layer"),
        (Head(9, 1), Head(9, 0), 1.0, "two of one layer"),
        (Head(0, 1), Head(0, 99), 1.0, "two of one layer"),
        (Head(0, 0), Head(0, 1), float("nan"), "finite"),
    ],
)
def test_what_cannot_be_copied_is_refused_and_nothing_changes(vlm, source, target, strength, message):
    state = {k: v.clone() for k, v in vlm.model.state_dict().items()}
    with pytest.raises(HeadAtlasError, match=message):
        copy_head(vlm, source, target, strength)
    assert all(torch.equal(v, state[k]) for k, v in vlm.model.state_dict().items())


def test_heads_of_other_key_value_heads_cannot_be_copied():
    vlm = ha.load_vlm("ref-gemma", device="cpu")
    assert key_value_group(vlm, Head(3, 4)) == [Head(3, 5)]
    with pytest.raises(HeadAtlasError, match="must share a key-value head"):
        copy_head(vlm, Head(3, 4), Head(3, 6))


def test_what_each_head_has_besides_its_projections_is_not_forgotten(vlm):
    site = vlm.heads.tower("L")[0]
    attention = vlm.model.get_submodule(site.name.rpartition(".")[0])
    attention.sinks = torch.nn.Parameter(torch.zeros(site.n_heads))
    with pytest.raises(HeadAtlasError, match="sinks may be of its own for each"):
        copy_head(vlm, Head(0, 0), Head(0, 1))
    with pytest.raises(HeadAtlasError, match="sinks may be of its own for each"):
        permute_heads(vlm, 0, range(site.n_heads))


def test_a_mixed_output_is_what_the_mixed_z_would_have_written(vlm, tiny_questions):
    head, site = Head(1, 2), vlm.heads.tower("L")[1]
    matrix = torch.randn(site.d_head, site.d_head, generator=torch.Generator().manual_seed(0))
    before, wanted = logprobs(vlm, tiny_questions), site.module.weight.detach().clone()
    wanted[:, 2 * site.d_head : 3 * site.d_head] @= matrix
    mix_output(vlm, head, torch.eye(site.d_head))
    assert torch.equal(logprobs(vlm, tiny_questions), before)
    mix_output(vlm, head, matrix)
    torch.testing.assert_close(site.module.weight, torch.nn.Parameter(wanted))
    mix_output(vlm, head, torch.linalg.inv(matrix.double()))
    torch.testing.assert_close(logprobs(vlm, tiny_questions), before, atol=1e-3, rtol=1e-3)
    for wrong in (torch.eye(site.d_head + 1), torch.full((site.d_head, site.d_head), torch.nan)):
        with pytest.raises(HeadAtlasError, match=f"matrix must be finite and {site.d_head} x {site.d_head}"):
            mix_output(vlm, head, wrong)
    with pytest.raises(HeadAtlasError, match="language model's grid"):
        mix_output(vlm, Head(99, 0), matrix)
