"""An edit changes exactly its heads and positions in every row, padded or cached, and nothing after it ends."""

import pytest
import torch
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import (
    Head,
    HeadGrid,
    HeadSet,
    Positions,
    Site,
    ZReader,
    edit_heads,
    mean,
    patch,
    scale,
    steer,
    zero,
)

HEADS = HeadSet.parse("L0.H1 L1.H3")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def logits(vlm, ids=None, **inputs):
    return vlm.model(input_ids=vlm.ids if ids is None else ids, **inputs).logits


def values(vlm, seed=1, rows=()):
    return torch.randn(*rows, *vlm.grid.dims(), generator=torch.Generator().manual_seed(seed))


def five(vlm):
    shift = values(vlm)
    return [
        scale(HEADS, 0.5),
        zero(HEADS),
        mean(HEADS, shift),
        steer(HEADS, shift, 0.7, torch.ones(vlm.grid.shape)),
        patch(HEADS, shift),
    ]


def test_no_op_is_the_bare_model_exactly(vlm):
    bare = vlm.model(**vlm.images).logits
    everything = [scale(vlm.grid.heads(tower), 1.0) for tower in "LVX" if vlm.grid.tower(tower)]
    with edit_heads(vlm.model, vlm.grid, everything):
        assert torch.equal(vlm.model(**vlm.images).logits, bare)
    with edit_heads(vlm.model, vlm.grid, []):
        assert torch.equal(vlm.model(**vlm.images).logits, bare)
    assert torch.equal(vlm.model(**vlm.images).logits, bare)


def test_zero_of_one_head_is_zeroing_its_columns(vlm):
    for tower in "LVX":
        for site in vlm.grid.tower(tower):
            columns = slice(site.d_head, 2 * site.d_head)
            kept = site.module.weight.clone()
            with edit_heads(vlm.model, vlm.grid, [zero([Head(site.layer, 1, tower)])]):
                edited = vlm.model(**vlm.images).logits
            site.module.weight[:, columns] = 0
            cut = vlm.model(**vlm.images).logits
            site.module.weight.copy_(kept)
            torch.testing.assert_close(edited, cut, **CLOSE)
            assert (edited - vlm.model(**vlm.images).logits).abs().max() > 1e-3, f"{tower}{site.layer} has no effect"


def test_z_becomes_factor_z_plus_shift_at_the_heads_only(llava):
    with ZReader(llava.grid) as bare:
        logits(llava)
    for edit in five(llava):
        with edit_heads(llava.model, llava.grid, [edit]), ZReader(llava.grid) as reader:
            logits(llava)
        expected = bare.z[0].clone()
        shift = 0 if edit.shift is None else edit.shift[0, 1]
        expected[:, :, 1] = edit.factor * expected[:, :, 1] + shift
        torch.testing.assert_close(reader.z[0], expected)


def test_edits_compose_in_order(llava):
    first, second = values(llava, 1), values(llava, 2)
    edits = [mean(HEADS, first), scale(HEADS, 0.5), steer(HEADS, second, 2.0, torch.ones(llava.grid.shape))]
    with edit_heads(llava.model, llava.grid, edits), ZReader(llava.grid) as reader:
        logits(llava)
    expected = 0.5 * first[0, 1] + 2 * second[0, 1]
    torch.testing.assert_close(reader.z[0][:, :, 1], expected.expand(2, 9, -1))
    with edit_heads(llava.model, llava.grid, [*edits, zero(HEADS)]), ZReader(llava.grid) as reader:
        logits(llava)
    assert not reader.z[0][:, :, 1].any()


def test_nested_edits_compose_from_outside_in(llava):
    with (
        edit_heads(llava.model, llava.grid, [zero(HEADS)]),
        edit_heads(llava.model, llava.grid, [mean(HEADS, values(llava))]),
    ):
        nested = logits(llava)
    with edit_heads(llava.model, llava.grid, [mean(HEADS, values(llava))]):
        torch.testing.assert_close(nested, logits(llava))


def test_edits_of_each_row_are_each_edit_alone(vlm):
    edits = [*five(vlm), scale([], 1.0)]
    ids = vlm.ids[:1].expand(len(edits), -1)
    with edit_heads(vlm.model, vlm.grid, [[edit] for edit in edits]) as active:
        together = logits(vlm, ids)
    assert active.rows == len(edits)
    for row, edit in enumerate(edits):
        with edit_heads(vlm.model, vlm.grid, [edit]):
            torch.testing.assert_close(together[row : row + 1], logits(vlm, ids[:1]), **CLOSE)
    assert (together[:1] - together[1:]).abs().amax((1, 2)).min() > 1e-3


def test_patch_takes_a_value_per_row(llava):
    per_row = values(llava, rows=(2,))
    for edits in ([patch(HEADS, per_row)], [[patch(HEADS, per_row)]] * 2):
        with edit_heads(llava.model, llava.grid, edits), ZReader(llava.grid) as reader:
            logits(llava)
        torch.testing.assert_close(reader.z[1][:, :, 3], per_row[:, None, 1, 3].expand(-1, 9, -1))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("scope", ["all", "answer", "prompt"])
def test_ragged_rows_are_single_rows(vlm, side, scope):
    rows = [vlm.ids[0], vlm.ids[1, :6]]
    answers = [4, 3]  # the answer's positions are the last few of each row
    edits = [[mean(HEADS, values(vlm))], [scale(HEADS, -1.0)]]
    ids, mask = torch.zeros(2, 9, dtype=torch.long), torch.zeros(2, 9, dtype=torch.long)
    answer = torch.zeros(2, 9, dtype=torch.bool)
    spans = []
    for row, (tokens, n) in enumerate(zip(rows, answers, strict=True)):
        start = 9 - len(tokens) if side == "left" else 0
        end = start + len(tokens)
        ids[row, start:end], mask[row, start:end], answer[row, end - n : end] = tokens, 1, True
        spans.append(slice(start, end))
    positions = Positions(answer=answer, prompt=~answer & mask.bool())
    position_ids = (mask.cumsum(1) - 1).clamp(min=0)
    # Qwen's own positions depend on the mask; the others count from the left edge unless told.
    extra = {} if vlm.family == "qwen2_5_vl" else {"position_ids": position_ids}
    with edit_heads(vlm.model, vlm.grid, edits, scope, positions):
        batch = logits(vlm, ids, attention_mask=mask, **extra)
    for row, span in enumerate(spans):
        alone = Positions(answer=answer[row : row + 1, span], prompt=~answer[row : row + 1, span])
        with edit_heads(vlm.model, vlm.grid, edits[row], scope, alone):
            single = logits(vlm, rows[row][None])
        torch.testing.assert_close(batch[row : row + 1, span], single, **CLOSE)
        assert (single - logits(vlm, rows[row][None])).abs().max() > 1e-3


@pytest.mark.parametrize("scope", ["all", "answer", "prompt", "image"])
def test_scope_touches_its_positions_only(llava, scope):
    ids = llava.images["input_ids"]
    answer = torch.zeros_like(ids, dtype=torch.bool)
    answer[:, 8:] = True
    positions = Positions(image=ids == 5, prompt=~answer, answer=answer)
    with ZReader(llava.grid) as bare:
        llava.model(**llava.images)
    with edit_heads(llava.model, llava.grid, [zero(HEADS)], scope, positions), ZReader(llava.grid) as reader:
        llava.model(**llava.images)
    inside = torch.ones_like(answer) if scope == "all" else positions.mask(scope)
    assert not reader.z[0][inside][:, 1].any()
    assert torch.equal(reader.z[0][~inside], bare.z[0][~inside])


@pytest.mark.parametrize("images", [False, True], ids=["text", "image"])
@pytest.mark.parametrize("scope", ["all", "answer"])
def test_cached_decode_is_the_uncached_forward(vlm, scope, images):
    inputs = vlm.images if images else {"input_ids": vlm.ids, "attention_mask": torch.ones_like(vlm.ids)}
    n = inputs["input_ids"].shape[1]
    mask = torch.zeros(2, n, dtype=torch.bool)
    mask[:, -1] = True  # the last prompt token predicts the answer's first
    edits = [[mean(HEADS, values(vlm))], [scale(HEADS, -2.0)]]
    with edit_heads(vlm.model, vlm.grid, edits, scope, Positions(answer=mask)) as active:
        out = vlm.model.generate(
            **inputs,
            max_new_tokens=5,
            min_new_tokens=5,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        cached = torch.stack(out.logits, dim=1)  # [B, 5, vocab]
        active.positions = Positions(answer=torch.cat([mask, torch.ones(2, 4, dtype=torch.bool)], dim=1))
        full = vlm.model(**longer(inputs, out.sequences[:, :-1])).logits[:, n - 1 :]
    torch.testing.assert_close(cached, full, **CLOSE)
    bare = vlm.model(**longer(inputs, out.sequences[:, :-1])).logits[:, n - 1 :]
    assert (bare - full).abs().amax((0, 2)).min() > 1e-3


def longer(inputs, sequences):
    """The same inputs with the generated tokens appended."""
    extra = sequences.shape[1] - inputs["input_ids"].shape[1]
    grown = {**inputs, "input_ids": sequences, "attention_mask": torch.ones_like(sequences)}
    for name, fill in (("token_type_ids", 0), ("mm_token_type_ids", 0), ("cross_attention_mask", 1)):
        if name in inputs:
            old = inputs[name]
            grown[name] = torch.cat([old, old.new_full((2, extra, *old.shape[2:]), fill)], dim=1)
    return grown


def test_last_in_generate_is_the_newest_token(llava):
    last = torch.zeros(2, 9, dtype=torch.bool)
    last[:, -1] = True
    seen = []
    positions = Positions(last=last)
    with (
        edit_heads(llava.model, llava.grid, [zero(HEADS)], "last", positions),
        ZReader(llava.grid, on_z=lambda layer, z: seen.append(z[:, :, 1].any(-1)) if layer == 0 else None),
    ):
        llava.model.generate(
            input_ids=llava.ids, attention_mask=torch.ones_like(llava.ids), max_new_tokens=3, min_new_tokens=3
        )
    assert [tuple(kept.shape) for kept in seen] == [(2, 9), (2, 1), (2, 1)]
    assert torch.equal(seen[0], ~last)
    assert not seen[1].any()
    assert not seen[2].any()


def test_hooks_go_after_an_error_anywhere(llava):
    bare = logits(llava)
    with (
        pytest.raises(HeadAtlasError, match=r"set active\.positions"),
        edit_heads(llava.model, llava.grid, [zero(HEADS)], "answer"),
    ):
        logits(llava)
    with pytest.raises(KeyError), edit_heads(llava.model, llava.grid, [zero(HEADS)]):
        raise KeyError("stop")
    assert torch.equal(logits(llava), bare)


def test_attention_implementation_is_left_alone(vlm):
    with edit_heads(vlm.model, vlm.grid, [zero(HEADS)]):
        assert vlm.model.config.get_text_config()._attn_implementation == "sdpa"
        logits(vlm)
    assert vlm.model.config.get_text_config()._attn_implementation == "sdpa"


def test_wrong_edits_raise_on_entry(llava, tiny_vlm):
    def enter(edits, scope="all", grid=llava.grid):
        with edit_heads(llava.model, grid, edits, scope):
            pass

    with pytest.raises(HeadAtlasError, match="tower L of this model has 2 layers"):
        enter([zero([Head(2, 0)])])
    with pytest.raises(HeadAtlasError, match="has 4 heads"):
        enter([zero([Head(0, 4)])])
    with pytest.raises(HeadAtlasError, match=r"values must be \[L, H, D\] = \[2, 4, 6\]"):
        enter([mean(HEADS, torch.zeros(2, 4, 5))])
    with pytest.raises(HeadAtlasError, match="got values for 3 rows, edits for 2"):
        enter([[patch(HEADS, values(llava, rows=(3,)))], []])
    with pytest.raises(HeadAtlasError, match="different numbers of rows"):
        enter([patch(HEADS, values(llava, rows=(3,))), patch(HEADS, values(llava, rows=(2,)))])
    with pytest.raises(HeadAtlasError, match="not a mixture"):
        enter([[zero(HEADS)], zero(HEADS)])
    with pytest.raises(HeadAtlasError, match="scope must be one of"):
        enter([zero(HEADS)], "everywhere")
    with pytest.raises(HeadAtlasError, match="encoder need scope 'all'"):
        enter([zero([Head(0, 0, "V")])], "prompt")
    with pytest.raises(HeadAtlasError, match="rows are images"):
        enter([[zero([Head(0, 0, "V")])], []])
    with pytest.raises(HeadAtlasError, match="belongs to another model"):
        enter([zero(HEADS)], grid=tiny_vlm("idefics3").grid)


def test_rows_that_do_not_fit_raise_in_the_forward(llava):
    with (
        edit_heads(llava.model, llava.grid, [[zero(HEADS)]] * 3),
        pytest.raises(HeadAtlasError, match="are for 3 rows"),
    ):
        logits(llava)
    beams = {"num_beams": 2, "max_new_tokens": 2, "attention_mask": torch.ones_like(llava.ids)}
    with (
        edit_heads(llava.model, llava.grid, [[zero(HEADS)], []]),
        pytest.raises(HeadAtlasError, match="beams"),
    ):
        llava.model.generate(input_ids=llava.ids, **beams)
    mask = torch.zeros(2, 9, dtype=torch.bool)
    with (
        edit_heads(llava.model, llava.grid, [zero(HEADS)], "answer", Positions(answer=mask)),
        pytest.raises(HeadAtlasError, match="beams"),
    ):
        llava.model.generate(input_ids=llava.ids, **beams)


def test_positions_of_another_batch_raise(llava):
    stale = Positions(answer=torch.zeros(2, 7, dtype=torch.bool))
    with (
        edit_heads(llava.model, llava.grid, [zero(HEADS)], "answer", stale),
        pytest.raises(HeadAtlasError, match="cover 7 tokens, the forward has 9"),
    ):
        logits(llava)


def test_generate_without_cache_raises_rather_than_guess(llava):
    positions = Positions(answer=torch.ones(2, 9, dtype=torch.bool))
    with (
        edit_heads(llava.model, llava.grid, [zero(HEADS)], "answer", positions),
        pytest.raises(HeadAtlasError, match="cover 9 tokens, the forward has 10"),
    ):
        llava.model.generate(
            input_ids=llava.ids, attention_mask=torch.ones_like(llava.ids), max_new_tokens=3, use_cache=False
        )


def test_bfloat16_model_is_edited_in_its_own_dtype(tiny_vlm):
    vlm = tiny_vlm("llava")
    model = vlm.model.to(torch.bfloat16)
    try:
        with edit_heads(model, vlm.grid, five(vlm)), ZReader(vlm.grid) as reader:
            logits(vlm)
        assert reader.z[0].dtype == torch.bfloat16
    finally:
        model.to(torch.float32)


class Unequal(nn.Module):
    """Two layers of 3 x 4 and 6 x 2, and one over planes of patches."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.plane = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, hidden):
        return self.b(self.a(hidden))

    @property
    def grid(self):
        return HeadGrid(
            (Site("L", 0, "a", self.a, 3, 4), Site("L", 1, "b", self.b, 6, 2), Site("C", 0, "plane", self.plane, 3, 4))
        )


def test_unequal_layers_take_padded_values():
    model, values = Unequal(), torch.randn(2, 6, 4)
    edit = mean(["L0.H2", "L1.H5"], values)
    with edit_heads(model, model.grid, [edit]), ZReader(model.grid) as reader:
        model(torch.randn(1, 5, 12))
    torch.testing.assert_close(reader.z[0][0, :, 2], values[0, 2].expand(5, 4))
    torch.testing.assert_close(reader.z[1][0, :, 5], values[1, 5, :2].expand(5, 2))
    with (
        pytest.raises(HeadAtlasError, match=r"\[2, 6, 4\]"),
        edit_heads(model, model.grid, [mean(["L0.H2"], torch.randn(2, 3, 4))]),
    ):
        pass


def test_planes_of_patches_are_edited_in_place():
    model = Unequal()
    planes = torch.randn(2, 3, 5, 12)
    with edit_heads(model, model.grid, [zero(["C0.H1"])]):
        edited = model.plane(planes)
    cut = planes.clone()
    cut[..., 4:8] = 0
    torch.testing.assert_close(edited, model.plane(cut))


def test_connectors_take_neither_rows_nor_scopes():
    model = Unequal()
    for arguments, message in (
        (([[zero(["C0.H1"])], []],), "rows are images"),
        (([zero(["C0.H1"])], "prompt"), "connector"),
    ):
        with pytest.raises(HeadAtlasError, match=message), edit_heads(model, model.grid, *arguments):
            pass
