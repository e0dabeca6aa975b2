"""Rows read beside the kernel: they are the family's own eager weights, in batches, with padding and with a cache."""

import inspect
import threading

import pytest
import torch
from transformers.masking_utils import AttentionMaskInterface

from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionReader, HeadSet, attend, edit_heads, zero
from headatlas.heads.attention.interface import AttentionInterface, _by_name

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def eager():
    """Sets one tiny model's attention to eager for a test."""
    kept = []

    def switch(vlm):
        kept.append((vlm.model, vlm.model.config._attn_implementation))
        vlm.model.set_attn_implementation("eager")
        return vlm.model

    yield switch
    for model, before in kept:
        model.set_attn_implementation(before)


def rows_of(vlm, heads=None, queries=None, **inputs):
    with AttentionReader(vlm.model, vlm.grid, heads, queries) as reader:
        vlm.model(**inputs)
    return reader.rows


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "idefics3", "mllama"])
def test_rows_are_the_eager_weights(tiny_vlm, eager, family):
    vlm = tiny_vlm(family)
    bare = vlm.model(**vlm.images).logits
    read = rows_of(vlm, **vlm.images)
    assert torch.equal(vlm.model(**vlm.images).logits, bare)
    own = eager(vlm)(**vlm.images, output_attentions=True).attentions
    if family == "mllama":  # its list has the cross-attention layer in the middle
        own = [own[0], own[2]]
    assert len(read) == len(own) == len(vlm.grid.tower("L"))
    for layer, weights in enumerate(own):
        torch.testing.assert_close(read[layer].weights, weights, **CLOSE)
        torch.testing.assert_close(read[layer].weights.sum(-1), torch.ones(weights.shape[:3]), **CLOSE)


SDPA = AttentionInterface()["sdpa"]


def short_names(m, q, k, v, mask, **options):
    return SDPA(m, q, k, v, mask, **options)


def no_names(*args, **options):
    return SDPA(*args, **options)


@pytest.mark.parametrize("function", [short_names, no_names])
def test_an_attention_function_that_names_its_arguments_otherwise_is_read_too(llava, function):
    """Registered by a user: transformers gives the first five arguments by position."""
    expected = rows_of(llava, **llava.images)
    AttentionInterface.register("mine", function)
    AttentionMaskInterface.register("mine", AttentionMaskInterface()["sdpa"])
    try:
        llava.model.set_attn_implementation("mine")
        found = rows_of(llava, **llava.images)
    finally:
        llava.model.set_attn_implementation("sdpa")
        for registered in (AttentionInterface, AttentionMaskInterface):
            registered._global_mapping.pop("mine")
    assert len(expected) == 2
    for layer, rows in expected.items():
        torch.testing.assert_close(found[layer].weights, rows.weights, **CLOSE)


def test_an_attention_function_without_the_usual_arguments_is_refused_in_one_line():
    with pytest.raises(HeadAtlasError, match="must take module, query, key, value, attention_mask in this order"):
        _by_name(inspect.signature(lambda module, query: None), (None, None), {}, "mine")


def test_chosen_heads_and_queries_are_the_same_rows(vlm):
    whole = rows_of(vlm, **vlm.images)
    queries = torch.zeros_like(vlm.images["input_ids"], dtype=torch.bool)
    queries[0, -3:] = True
    queries[1, [1, -1]] = True
    some = rows_of(vlm, HeadSet.parse("L0.H1 L1.H0 L1.H3"), queries, **vlm.images)
    for layer, heads in ((0, (1,)), (1, (0, 3))):
        rows = some[layer]
        assert rows.heads == heads
        assert rows.real.tolist() == [[True, True, True], [True, True, False]]
        for row in range(2):
            at = queries[row].nonzero()[:, 0]
            assert torch.equal(rows.at[row][rows.real[row]], at)
            torch.testing.assert_close(
                rows.weights[row][:, rows.real[row]], whole[layer].weights[row][list(heads)][:, at], **CLOSE
            )


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_rows_are_each_row_alone(llava, side):
    short = llava.ids[1:, :6]
    pad = torch.zeros(1, 3, dtype=torch.long)
    parts = [pad, short] if side == "left" else [short, pad]
    ids = torch.cat([llava.ids[:1], torch.cat(parts, 1)])
    mask = torch.ones_like(ids)
    span = slice(3, 9) if side == "left" else slice(0, 6)
    mask[1] = 0
    mask[1, span] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    together = rows_of(llava, queries=mask.bool(), input_ids=ids, attention_mask=mask, position_ids=positions)
    alone = rows_of(llava, input_ids=short)
    for layer in range(2):
        rows = together[layer]
        read = rows.weights[1][:, rows.real[1]]
        torch.testing.assert_close(read[:, :, span], alone[layer].weights[0], **CLOSE)
        assert float(read.sum()) == pytest.approx(float(read[:, :, span].sum()), abs=1e-5)


@pytest.mark.parametrize("family", ["llava", "gemma3"])
def test_decoding_with_a_cache_reads_the_rows_of_the_whole_pass(tiny_vlm, family):
    vlm = tiny_vlm(family)
    seen = []
    ids = vlm.ids[:1]
    with AttentionReader(vlm.model, vlm.grid, ["L0.H2", "L1.H2"], on_rows=seen.append):
        out = vlm.model.generate(input_ids=ids, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    whole = rows_of(vlm, ["L0.H2", "L1.H2"], input_ids=out)
    assert [rows.at[0].tolist() for rows in seen[2:]] == [[9], [9], [10], [10]]
    for rows in seen:
        for i, at in enumerate(rows.at[0].tolist()):
            width = rows.weights.shape[-1]
            wanted = whole[rows.site.layer].weights[0, :, at, rows.first_key : rows.first_key + width]
            torch.testing.assert_close(rows.weights[0, :, i], wanted, **CLOSE)
    assert any(rows.first_key > 0 for rows in seen) == (family == "gemma3")  # its first layer keeps 4 keys


def test_queries_in_decoding_are_cut_to_the_forward(llava):
    queries = torch.zeros(1, 9, dtype=torch.bool)
    queries[0, [3, 8]] = True
    seen = []
    with AttentionReader(llava.model, llava.grid, ["L1.H0"], queries, on_rows=seen.append):
        llava.model.generate(input_ids=llava.ids[:1], max_new_tokens=2, min_new_tokens=2, do_sample=False)
    assert [rows.at[0].tolist() for rows in seen] == [[3, 8], [9]]


def test_towers_of_pictures_are_read_call_by_call(tiny_vlm):
    vlm = tiny_vlm("qwen2_5_vl")  # two pictures, two windows, the last block over the whole picture
    with AttentionReader(vlm.model, vlm.grid, vlm.grid.heads("V")) as reader:
        for _ in range(2):  # the calls of the first pass are dropped
            vlm.model(**vlm.images)
    for calls in reader.calls.values():
        assert sum(rows.weights.shape[0] * rows.weights.shape[2] for rows in calls) == 8
        for rows in calls:
            torch.testing.assert_close(rows.weights.sum(-1), torch.ones(rows.weights.shape[:3]), **CLOSE)


def test_cross_attention_rows_are_over_the_picture(tiny_vlm):
    vlm = tiny_vlm("mllama")
    queries = torch.zeros_like(vlm.images["input_ids"], dtype=torch.bool)
    queries[:, -1] = True
    rows = rows_of(vlm, ["X0.H1"], queries, **vlm.images)[0]
    assert rows.weights.shape[:3] == (2, 1, 1)
    torch.testing.assert_close(rows.weights.sum(-1), torch.ones(2, 1, 1), **CLOSE)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_half_precision_and_both_kernels(tiny_vlm, implementation):
    vlm = tiny_vlm("llava")
    model = vlm.model
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        model.bfloat16()
        rows = rows_of(vlm, input_ids=vlm.ids)
    finally:
        model.float()
        model.set_attn_implementation(before)
    assert rows[0].weights.dtype == torch.float32
    torch.testing.assert_close(rows[1].weights.sum(-1), torch.ones(2, 4, 9), **CLOSE)


def test_flex_masks_are_read(tiny_vlm):
    """A flex `BlockMask` gives the same rows; its kernel needs a compiler, so the mask alone is tried."""
    from torch.nn.attention.flex_attention import create_block_mask

    from headatlas.heads.attention import AttentionCall

    torch.manual_seed(1)
    query, key, value = torch.randn(2, 4, 5, 6), torch.randn(2, 2, 7, 6), torch.randn(2, 2, 7, 6)
    block = create_block_mask(lambda b, h, q, k: k <= q + 2, 2, None, 5, 7, device="cpu")
    seen = torch.arange(7) <= torch.arange(5)[:, None] + 2
    at = torch.arange(5).expand(2, -1)
    made = []
    for implementation, mask in (("flex_attention", block), ("sdpa", seen[None, None])):
        call = AttentionCall(torch.nn.Identity(), implementation, query, key, value, mask, {}, torch.zeros(2, 5, 4, 6))
        made.append(call.weights(range(4), at))
    assert torch.equal(*made)


@pytest.mark.parametrize("window", [None, 3])
def test_flash_calls_without_a_mask_are_causal_from_the_end(window):
    from headatlas.heads.attention import AttentionCall

    torch.manual_seed(1)
    query, key, value = torch.randn(1, 2, 3, 6), torch.randn(1, 2, 7, 6), torch.randn(1, 2, 7, 6)
    options = {"is_causal": True, "sliding_window": window}
    call = AttentionCall(
        torch.nn.Identity(), "flash_attention_2", query, key, value, None, options, torch.zeros(1, 3, 2, 6)
    )
    seen = call.weights(range(2), torch.arange(3)[None])[0, 0] > 0
    first = [0, 0, 0] if window is None else [2, 3, 4]
    assert seen.tolist() == [[first[q] <= k <= q + 4 for k in range(7)] for q in range(3)]


def test_an_edited_model_is_read_as_edited(llava):
    bare = rows_of(llava, input_ids=llava.ids)
    with edit_heads(llava.model, llava.grid, [attend(["L0.H1"], (2,), 3.0)]):
        edited = rows_of(llava, input_ids=llava.ids)
    wanted = bare[0].weights.clone()
    wanted[:, 1] = (wanted[:, 1].log() + 3.0 * (torch.arange(9) == 2)).softmax(-1)
    torch.testing.assert_close(edited[0].weights, wanted, **CLOSE)
    assert not torch.allclose(edited[1].weights, bare[1].weights)


def test_unknown_additions_to_attention_are_an_error_not_a_number(llava, strange_kernel):
    with pytest.raises(HeadAtlasError, match="LlamaAttention cannot be read"):
        rows_of(llava, input_ids=llava.ids)


def test_rows_that_are_handed_over_are_checked_at_the_end_of_the_forward(llava, strange_kernel):
    seen = []
    with AttentionReader(llava.model, llava.grid, on_rows=seen.append) as reader:
        with pytest.raises(
            HeadAtlasError, match=r"LlamaAttention cannot be read: a \. V differs from the sdpa kernel's output"
        ):
            llava.model(input_ids=llava.ids)
        assert len(seen) == 2
        strange_kernel()  # the model's own again
        llava.model(input_ids=llava.ids)
        assert len(seen) == 4
        assert reader.rows == {}


def test_rows_of_a_tower_alone_are_checked_when_they_are_asked_for_or_on_leaving(llava, strange_kernel):
    strange_kernel(vision=True)
    pixels = llava.images["pixel_values"]
    with AttentionReader(llava.model, llava.grid, ["V0.H0"]) as reader:
        llava.model.model.vision_tower(pixels)
        with pytest.raises(HeadAtlasError, match="cannot be read"):
            _ = reader.rows
    with pytest.raises(HeadAtlasError, match="cannot be read"), AttentionReader(llava.model, llava.grid, ["V0.H0"]):
        llava.model.model.vision_tower(pixels)


@pytest.mark.parametrize("real", [True, False])
def test_rows_that_are_asked_for_must_be_finite(llava, real):
    """Other positions, such as padding, may hold anything."""
    queries = torch.zeros(llava.ids.shape, dtype=torch.bool)
    queries[:, 3], queries[0, 5] = True, True
    site = llava.grid.tower("L")[1]
    queried = llava.model.get_submodule(site.owner).q_proj

    def spoil(module, args, output):
        output[1, 3 if real else 0] = torch.nan
        return output

    handle = queried.register_forward_hook(spoil)
    try:
        if real:
            with pytest.raises(
                HeadAtlasError, match="LlamaAttention in layer 1 must be finite, got NaN or infinity in float32"
            ):
                rows_of(llava, queries=queries, input_ids=llava.ids)
        else:
            assert rows_of(llava, queries=queries, input_ids=llava.ids)[1].weights[0].isfinite().all()
    finally:
        handle.remove()


def test_attention_of_its_own_code_is_refused_by_name(llava, monkeypatch):
    kind = type(llava.model.model.language_model.layers[0].self_attn)

    def own(self, hidden_states, *args, **kwargs):
        return self.o_proj(hidden_states.new_zeros(*hidden_states.shape[:2], self.o_proj.in_features)), None

    monkeypatch.setattr(kind, "forward", own)
    with pytest.raises(HeadAtlasError, match=r"L0 \(model.language_model.layers.0.self_attn\).*does not call"):
        rows_of(llava, input_ids=llava.ids)


@pytest.mark.parametrize(
    ("heads", "queries", "message"),
    [
        (["L0.H0", "V0.H0"], None, "one tower at a time"),
        (["L0.H9"], None, "has 4 heads"),
        (["V0.H0"], torch.ones(2, 9, dtype=torch.bool), "query positions are the text's"),
    ],
)
def test_wrong_requests_are_refused_before_the_forward(llava, heads, queries, message):
    with pytest.raises(HeadAtlasError, match=message):
        AttentionReader(llava.model, llava.grid, heads, queries)


def test_queries_of_another_batch_are_refused(llava):
    with pytest.raises(HeadAtlasError, match=r"queries must be \[B, T\] = \[2, 9\]"):
        rows_of(llava, queries=torch.ones(2, 8, dtype=torch.bool), input_ids=llava.ids)


def test_nothing_is_left_behind_also_after_an_exception(llava):
    file = __import__("sys").modules[type(llava.model.model.language_model.layers[0].self_attn).__module__]
    before = (AttentionInterface.__dict__.get("__getitem__"), file.eager_attention_forward)
    with pytest.raises(RuntimeError, match="stop"), AttentionReader(llava.model, llava.grid):
        raise RuntimeError("stop")
    assert (AttentionInterface.__dict__.get("__getitem__"), file.eager_attention_forward) == before


def test_two_models_in_two_threads_do_not_disturb_each_other(tiny_vlm):
    wanted = {f: rows_of(tiny_vlm(f), input_ids=tiny_vlm(f).ids)[1].weights for f in ("llava", "gemma3")}
    found, errors = {}, []

    def work(family):
        try:
            with torch.no_grad():
                for _ in range(5):
                    vlm = tiny_vlm(family)
                    found[family] = rows_of(vlm, input_ids=vlm.ids)[1].weights
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(family,)) for family in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(torch.equal(found[family], wanted[family]) for family in wanted)


def test_z_edits_do_not_change_what_the_layer_looks_at(llava):
    with edit_heads(llava.model, llava.grid, [zero(["L0.H1"])]):
        edited = rows_of(llava, ["L0.H1"], input_ids=llava.ids)[0].weights
    assert torch.equal(edited, rows_of(llava, ["L0.H1"], input_ids=llava.ids)[0].weights)
