"""An attention edit gives the softmax of the edited logits at its heads, queries and keys, and changes nothing else."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionReader, Positions, ZReader, attend, block, edit_heads, scale, scale_attention, zero
from headatlas.heads.attention import edited_attention

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def positions(vlm):
    ids = vlm.images["input_ids"]
    last = torch.zeros_like(ids, dtype=torch.bool)
    last[:, -1] = True
    answer = last.clone()
    answer[:, -2] = True
    return Positions(image=ids == 5, prompt=~answer, answer=answer, last=last)


def weights_of(vlm, layer, edits=(), scope="all", rows=None):
    reader = AttentionReader(vlm.model, vlm.grid, [f"L{layer}.H{h}" for h in range(4)])
    with edit_heads(vlm.model, vlm.grid, list(edits) if rows is None else rows, scope, positions(vlm)), reader:
        vlm.model(**vlm.images)
    return reader.rows[layer].weights


def z_of(vlm, layer, edits=(), scope="all", rows=None):
    reader = ZReader(vlm.grid)
    with edit_heads(vlm.model, vlm.grid, list(edits) if rows is None else rows, scope, positions(vlm)), reader:
        vlm.model(**vlm.images)
    return reader.z[layer]


def values_of(vlm, layer):
    """V `[B, H, K, D]` of a layer, read off its own projection."""
    site = vlm.grid.tower("L")[layer]
    owner = vlm.model.get_submodule(site.owner)
    seen = []
    handle = owner.v_proj.register_forward_hook(lambda module, args, out: seen.append(out))
    vlm.model(**vlm.images)
    handle.remove()
    value = seen[0].unflatten(-1, (-1, site.d_head)).transpose(1, 2)
    return value.repeat_interleave(site.n_heads // value.shape[1], 1)


def explicit(bare, keys, kind, amount):
    """Edited weights from bare ones, whose logarithms are the logits up to a constant; scaling needs the logits themselves."""
    logits = bare.log()
    if kind == "add":
        logits = logits + amount * keys
    elif kind == "block":
        logits = logits.masked_fill(keys, -torch.inf)
    return logits.softmax(-1).nan_to_num()


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_5_vl"])
@pytest.mark.parametrize("kind", ["add", "block"])
def test_z_is_the_explicit_softmax_times_v(tiny_vlm, family, kind):
    vlm = tiny_vlm(family)
    heads = ["L0.H1", "L0.H2"]
    edit = attend(heads, "image", 1.3) if kind == "add" else block(heads, "image")
    image = positions(vlm).image[:, None, None]
    wanted = explicit(weights_of(vlm, 0), image, kind, 1.3) @ values_of(vlm, 0)
    bare, edited = z_of(vlm, 0), z_of(vlm, 0, [edit])
    torch.testing.assert_close(edited[:, :, [1, 2]], wanted.transpose(1, 2)[:, :, [1, 2]], **CLOSE)
    assert torch.equal(edited[:, :, [0, 3]], bare[:, :, [0, 3]])


def test_scaled_logits_are_the_explicit_softmax(llava):
    site = llava.grid.tower("L")[0]
    module = llava.model.get_submodule(site.owner)
    from headatlas.heads.attention import intercepted

    seen = []
    with intercepted({module: seen.append}):
        llava.model(**llava.images)
    call = seen[0]
    keys = call.key.repeat_interleave(2, 1)
    logits = call.query @ keys.transpose(2, 3) * call.options["scaling"]
    image = positions(llava).image[:, None, None]
    length = logits.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    weights = torch.where(image, logits * 0.4, logits).masked_fill(~causal, -torch.inf).softmax(-1)
    wanted = (weights @ call.value.repeat_interleave(2, 1)).transpose(1, 2)
    edited = z_of(llava, 0, [scale_attention(["L0.H0", "L0.H3"], "image", 0.4)])
    torch.testing.assert_close(edited[:, :, [0, 3]], wanted[:, :, [0, 3]], **CLOSE)


def test_edits_that_change_nothing_leave_every_bit(vlm):
    bare = vlm.model(**vlm.images).logits
    heads = vlm.grid.heads("L")
    nothing = [
        attend(heads, "image", 0.0),
        attend(heads, (), 4.0),
        scale_attention(heads, (0, 1), 1.0),
        block(heads, ()),
        block(heads, torch.zeros(vlm.images["input_ids"].shape, dtype=torch.bool)),
    ]
    with edit_heads(vlm.model, vlm.grid, nothing, positions=positions(vlm)):
        assert torch.equal(vlm.model(**vlm.images).logits, bare)
    assert torch.equal(vlm.model(**vlm.images).logits, bare)


def test_keys_that_a_query_cannot_see_change_none_of_its_bits(llava):
    last = llava.images["input_ids"].shape[1] - 1
    bare, edited = z_of(llava, 0), z_of(llava, 0, [attend(["L0.H1"], (last,), 5.0)])
    assert torch.equal(edited[:, :-1], bare[:, :-1])
    assert not torch.allclose(edited[:, -1, 1], bare[:, -1, 1])


@pytest.mark.parametrize("scope", ["last", "answer", "prompt", "image"])
def test_scope_is_over_the_queries(llava, scope):
    where = getattr(positions(llava), scope)
    bare, edited = z_of(llava, 1), z_of(llava, 1, [attend(["L1.H2"], (0,), 3.0)], scope)
    first_key_alone = torch.zeros_like(where)
    first_key_alone[:, 0] = True  # position 0 sees nothing else, so no weight moves
    changed = (edited != bare).any(-1)[:, :, 2]
    assert torch.equal(changed & ~first_key_alone, where & ~first_key_alone)
    assert not (edited != bare)[:, :, [0, 1, 3]].any()


def test_each_row_has_its_own_edits(llava):
    first, second = [attend(["L0.H0"], (1,), 2.0), zero(["L1.H1"])], [block(["L0.H0", "L1.H3"], "image")]
    with edit_heads(llava.model, llava.grid, [first, second], positions=positions(llava)):
        together = llava.model(**llava.images).logits
    for row, edits in enumerate((first, second)):
        with edit_heads(llava.model, llava.grid, edits, positions=positions(llava)):
            alone = llava.model(**llava.images).logits
        torch.testing.assert_close(together[row], alone[row], **CLOSE)


def test_a_mask_with_one_row_each_is_each_row_alone(llava):
    mask = torch.zeros(llava.images["input_ids"].shape, dtype=torch.bool)
    mask[0, 2], mask[1, 5] = True, True
    both = z_of(llava, 0, [attend(["L0.H1"], mask, 2.0)])
    for row in range(2):
        torch.testing.assert_close(both[row], z_of(llava, 0, [attend(["L0.H1"], mask[row], 2.0)])[row], **CLOSE)


def test_edits_act_in_order(llava):
    one = z_of(llava, 0, [attend(["L0.H1"], (1,), 1.0), attend(["L0.H1"], (1,), 2.0)])
    torch.testing.assert_close(one, z_of(llava, 0, [attend(["L0.H1"], (1,), 3.0)]), **CLOSE)
    scaled = z_of(llava, 0, [attend(["L0.H1"], (1,), 2.0), scale_attention(["L0.H1"], (1,), 0.0)])
    torch.testing.assert_close(scaled, z_of(llava, 0, [scale_attention(["L0.H1"], (1,), 0.0)]), **CLOSE)


def test_nested_edits_act_one_after_the_other(llava):
    first, second = [attend(["L0.H1"], (1,), 1.0)], [attend(["L0.H1", "L0.H2"], (2,), 2.0)]
    with edit_heads(llava.model, llava.grid, first):
        nested = z_of(llava, 0, second)
    torch.testing.assert_close(nested, z_of(llava, 0, first + second), **CLOSE)


def test_gaze_steering_lowers_the_other_image_tokens(llava):
    image = positions(llava).image
    target = torch.zeros_like(image)
    target[:, 3] = True
    bare = weights_of(llava, 0)
    edited = z_of(llava, 0, [attend(["L0.H1"], target, 2.0, others=-2.0)])
    bias = 2.0 * target - 2.0 * (image & ~target)
    wanted = (bare.log() + bias[:, None, None]).softmax(-1) @ values_of(llava, 0)
    torch.testing.assert_close(edited[:, :, 1], wanted.transpose(1, 2)[:, :, 1], **CLOSE)


def test_a_query_without_any_key_gives_nothing(llava):
    keys = tuple(range(4))
    edited = z_of(llava, 0, [block(["L0.H1"], keys)])
    assert torch.equal(edited[:, :4, 1], torch.zeros_like(edited[:, :4, 1]))
    assert bool((edited[:, 4:, 1] != 0).all())


def test_z_edits_act_on_the_edited_attention(llava):
    attention, z = attend(["L0.H1"], (0,), 2.0), scale(["L0.H1"], 0.5)
    torch.testing.assert_close(z_of(llava, 0, [z, attention])[:, :, 1], 0.5 * z_of(llava, 0, [attention])[:, :, 1])


@pytest.mark.parametrize("family", ["llava", "gemma3"])
def test_decoding_with_a_cache_is_the_same_as_without(tiny_vlm, family):
    vlm = tiny_vlm(family)
    edits = [attend(vlm.grid.heads("L"), (1, 2), 2.0), block(["L0.H0"], (3,))]
    made = []
    with edit_heads(vlm.model, vlm.grid, edits):
        for cache in (True, False):
            made.append(
                vlm.model.generate(
                    input_ids=vlm.ids, max_new_tokens=4, min_new_tokens=4, do_sample=False, use_cache=cache,
                    return_dict_in_generate=True, output_logits=True,
                )
            )  # fmt: skip
    bare = vlm.model.generate(
        input_ids=vlm.ids,
        max_new_tokens=4,
        min_new_tokens=4,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    assert torch.equal(made[0].sequences, made[1].sequences)
    torch.testing.assert_close(torch.stack(made[0].logits), torch.stack(made[1].logits), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(made[0].logits[0], bare.logits[0])


def test_cross_attention_is_edited_over_the_picture(tiny_vlm):
    vlm = tiny_vlm("mllama")
    bare = vlm.model(**vlm.images).logits
    with edit_heads(vlm.model, vlm.grid, [block(["X0.H1"], "image")]):
        blocked = vlm.model(**vlm.images).logits
    with edit_heads(vlm.model, vlm.grid, [zero(["X0.H1"])]):
        zeroed = vlm.model(**vlm.images).logits
    torch.testing.assert_close(blocked, zeroed, **CLOSE)
    assert not torch.allclose(blocked, bare)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (lambda: [attend(["L0.H9"], (0,), 1.0)], "has 4 heads"),
        (lambda: [attend(["V0.H0"], "image", 1.0)], "keys of tower V must be a mask"),
        (lambda: [attend(["L0.H0"], "picture", 1.0)], "keys by name must be 'image'"),
        (lambda: [attend(["L0.H0"], (0,), float("nan"))], "must be finite"),
    ],
)
def test_wrong_edits_are_refused(llava, edits, message):
    with pytest.raises(HeadAtlasError, match=message), edit_heads(llava.model, llava.grid, edits()):
        pass


def test_image_keys_need_the_batch(llava):
    active = edit_heads(llava.model, llava.grid, [attend(["L0.H0"], "image", 1.0)])
    with active, pytest.raises(HeadAtlasError, match="need the batch's image mask"):
        llava.model(**llava.images)


def test_rows_of_another_batch_are_refused(llava):
    active = edit_heads(llava.model, llava.grid, [[attend(["L0.H0"], (0,), 1.0)]] * 3)
    with active, pytest.raises(HeadAtlasError, match="the edits are for 3 rows, the forward has 2"):
        llava.model(**llava.images)


@pytest.mark.parametrize("read", [False, True])
def test_gradients_flow_after_a_forward_without_them(llava, read):
    """What is kept from one call of the vision tower for the next cannot be of inference mode where gradients are needed."""
    pixels = llava.images["pixel_values"].clone().requires_grad_()
    edit = attend(["V0.H0", "V1.H1"], (1, 2), 2.0)
    tower = llava.model.model.vision_tower
    with edit_heads(llava.model, llava.grid, [edit]), ExitStack() as stack:
        reader = stack.enter_context(AttentionReader(llava.model, llava.grid, ["V0.H1"])) if read else None
        with torch.inference_mode():
            tower(pixels)
        with torch.enable_grad():
            made = tower(pixels).last_hidden_state if reader is None else (tower(pixels), reader.rows[0].weights)[1]
            made.square().sum().backward()
    assert pixels.grad.abs().max() > 0


def test_edits_of_attention_with_unknown_additions_are_an_error(llava, strange_kernel):
    with (
        edit_heads(llava.model, llava.grid, [attend(["L1.H0"], (0,), 1.0)]),
        pytest.raises(HeadAtlasError, match=r"LlamaAttention cannot be read: a \. V differs"),
    ):
        llava.model(**llava.images)


def test_each_edit_has_query_positions_of_its_own(llava):
    """In one forward, two factors at different positions of the same heads, as each gives alone."""
    first, second = scale_attention(["L0.H1", "L0.H2"], "image", 0.4), scale_attention(["L0.H1", "L0.H3"], "image", 3.0)
    places = [torch.zeros(llava.images["input_ids"].shape, dtype=torch.bool) for _ in range(2)]
    places[0][:, -1] = places[1][0, -2] = True

    def z(edits, only):
        where = SimpleNamespace(positions=positions(llava), scope="all", window=None)
        with edited_attention(llava.model, llava.grid, [edits], where, only), ZReader(llava.grid) as reader:
            llava.model(**llava.images)
        return reader.z[0]

    bare, both = z([], []), z([first, second], places)
    alone = [z([edit], [at]) for edit, at in zip((first, second), places, strict=True)]
    assert torch.equal(both, torch.where(places[0][..., None, None], alone[0], alone[1]))
    for made, at in zip(alone, places, strict=True):
        assert torch.equal((made != bare).any(-1).any(-1), at)


def test_fingerprints_change_with_whatever_changes_the_effect():
    mask = torch.tensor([True, False])
    edits = [
        attend(["L0.H0"], (0,), 1.0), attend(["L0.H0"], (0,), 2.0), attend(["L0.H1"], (0,), 1.0), attend(["L0.H0"], (1,), 1.0),
        attend(["L0.H0"], (0,), 1.0, others=1.0), attend(["L0.H0"], "image", 1.0), attend(["L0.H0"], mask, 1.0),
        attend(["L0.H0"], ~mask, 1.0), scale_attention(["L0.H0"], (0,), 1.0), block(["L0.H0"], (0,)),
    ]  # fmt: skip
    assert len({edit.fingerprint for edit in edits}) == len(edits)
    assert attend(["L0.H0"], (0,), 1.0).fingerprint == edits[0].fingerprint
