"""An edit or a reader acts at every site in every forward; otherwise there is an error with the reason."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadGrid, HeadSet, Site, ZReader, edit_heads, find_heads, zero

HEADS = HeadSet.parse("L0.H1 L1.H3")


@pytest.fixture
def own(llava):
    """A copy of the model that a test may spoil."""
    made = copy.copy(llava)
    made.model = copy.deepcopy(llava.model)
    made.grid = find_heads(made.model)
    return made


def layers(vlm):
    return vlm.model.model.language_model.layers


def logits(vlm, **inputs):
    return vlm.model(input_ids=vlm.ids, **inputs).logits


def edited(vlm, heads=HEADS, call=None):
    with edit_heads(vlm.model, vlm.grid, [zero(heads)]):
        return logits(vlm) if call is None else call(input_ids=vlm.ids).logits


class Lora(nn.Module):
    """What peft puts in the place of a Linear."""

    def __init__(self, base):
        super().__init__()
        self.base_layer = base
        self.lora = nn.Linear(base.in_features, base.out_features, bias=False)

    def forward(self, x):
        return self.base_layer(x) + self.lora(x)


class Two(nn.Module):
    """Two output projections in a row, small enough to be compiled in a test."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 12)
        self.grid = HeadGrid(
            (Site("L", 0, "a", self.a, 3, 4), Site("L", 1, "b", self.b, 3, 4)), language=self, model=self
        )

    def forward(self, hidden):
        return self.b(self.a(hidden))


def compile_in_place(model):
    model.compile(backend="eager")
    return model


def compile_around(model):
    return torch.compile(model, backend="eager")


def compile_forward(model):
    model.forward = torch.compile(model.forward, backend="eager")
    return model


@pytest.mark.parametrize("compiled", [compile_in_place, compile_around, compile_forward])
def test_edits_and_readers_act_on_compiled_models(compiled):
    model, hidden = Two(), torch.randn(1, 5, 12)
    with edit_heads(model, model.grid, [zero("L0.H1")]):
        want = model(hidden)
    bare = model(hidden)
    call = compiled(model)
    torch.testing.assert_close(call(hidden), bare)  # compiled now
    with edit_heads(model, model.grid, [zero("L0.H1")]), ZReader(model.grid) as reader:
        torch.testing.assert_close(call(hidden), want)
    assert not reader.z[0][:, :, 1].any()
    torch.testing.assert_close(call(hidden), bare)  # no edit is left in it
    torch._dynamo.reset()


def test_a_model_compiled_under_an_edit_does_not_keep_it():
    model, hidden = Two(), torch.randn(1, 5, 12)
    bare = model(hidden)
    with edit_heads(model, model.grid, [zero("L0.H1")]):
        call = compile_in_place(model)
        edited = call(hidden)
    assert not torch.allclose(edited, bare)
    torch.testing.assert_close(call(hidden), bare)
    torch._dynamo.reset()


def test_a_compiled_model_with_flex_attention_is_refused():
    model = compile_in_place(Two())
    model.config = SimpleNamespace(_attn_implementation="flex_attention")
    with (
        pytest.raises(HeadAtlasError, match="compiled model with flex attention cannot be read or edited"),
        edit_heads(model, model.grid, [zero("L0.H1")]),
    ):
        pass


def test_an_adapter_put_in_later_gets_the_edited_z_too(own):
    for layer in layers(own):
        layer.self_attn.o_proj = Lora(layer.self_attn.o_proj)
    bare, found = logits(own), edited(own)
    own.grid = find_heads(own.model)
    assert torch.equal(found, edited(own))
    assert not torch.allclose(found, bare, atol=1e-2)


def bypass(vlm):
    attention = layers(vlm)[1].self_attn
    kept = attention.o_proj

    class Bypassed(nn.Identity):
        """Is never called as a module: its owner uses the weight."""

        def __call__(self, hidden):
            return nn.functional.linear(hidden, kept.weight)

    attention.o_proj = Bypassed()


def skip_layer(vlm):
    layers(vlm)[1].forward = lambda hidden, **kwargs: hidden


def replace_inside(vlm):
    layers(vlm)[1].self_attn.o_proj = Lora(layers(vlm)[1].self_attn.o_proj)


def clear_hooks(vlm):
    layers(vlm)[1].self_attn.o_proj._forward_pre_hooks.clear()


SPOILED = {
    bypass: r"at layer L1 \(.*o_proj\) did not take place: its output projection was not called",
    skip_layer: r"at layer L1 .* was not called in the forward; .* skips this layer",
    replace_inside: r"at layer L1 .* was replaced while the \w+ was open",
    clear_hooks: r"at layer L1 .* other code removed the hooks",
}


@pytest.mark.parametrize(("spoil", "why"), SPOILED.items())
def test_an_edit_that_does_not_take_place_is_an_error(own, spoil, why):
    if spoil in (bypass, skip_layer):
        spoil(own)
        spoil = id

    def run():
        with edit_heads(own.model, own.grid, [zero(HEADS)]):
            spoil(own)
            logits(own)

    with pytest.raises(HeadAtlasError, match=f"edit {why}"):
        run()


@pytest.mark.parametrize(("spoil", "why"), SPOILED.items())
def test_a_reader_that_sees_nothing_is_an_error(own, spoil, why):
    if spoil in (bypass, skip_layer):
        spoil(own)
        spoil = id

    def run():
        with ZReader(own.grid):
            spoil(own)
            logits(own)

    with pytest.raises(HeadAtlasError, match=f"read {why}"):
        run()


def test_a_removed_hook_is_noticed_without_a_forward(own):
    with pytest.raises(HeadAtlasError, match="removed the hooks"), edit_heads(own.model, own.grid, [zero(HEADS)]):
        clear_hooks(own)


def test_what_is_wrong_inside_is_not_hidden(own):
    def run():
        with edit_heads(own.model, own.grid, [zero(HEADS)]):
            clear_hooks(own)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        run()


def test_a_wrapper_that_skips_the_models_own_hooks_is_watched_inside(own):
    """As peft's models call the forward of the model they wrap."""
    skip_layer(own)
    with pytest.raises(HeadAtlasError, match="did not take place"):
        edited(own, call=own.model.forward)


def test_attention_replaced_after_the_heads_were_found_is_refused(own):
    layers(own)[1].self_attn = copy.deepcopy(layers(own)[1].self_attn)
    with pytest.raises(HeadAtlasError, match=r"layers\.1\.self_attn was replaced after .* find_heads\(model\) again"):
        edited(own)
    assert not own.grid.is_current(own.model)
    assert find_heads(own.model).is_current(own.model)


@pytest.mark.parametrize("doing", ["edit", "read"])
def test_an_output_projection_of_two_layers_is_refused(own, doing):
    layers(own)[0].self_attn.o_proj = layers(own)[1].self_attn.o_proj
    opened = edit_heads(own.model, own.grid, [zero("L1.H0")]) if doing == "edit" else ZReader(own.grid)
    with pytest.raises(HeadAtlasError, match=r"of one layer, but is that of .*layers\.0\.self_attn, too"), opened:
        pass


def test_an_output_projection_that_was_taken_out_is_refused(own):
    del layers(own)[0].self_attn._modules["o_proj"]
    with pytest.raises(HeadAtlasError, match=r"o_proj must be the output projection of .*taken out"):
        edited(own)


def test_the_vision_tower_must_run_where_a_picture_is_given(vlm):
    towers = [tower for tower in "VXC" if vlm.grid.tower(tower)]
    with edit_heads(vlm.model, vlm.grid, [zero(vlm.grid.heads(tower)) for tower in towers]), ZReader(vlm.grid, "V"):
        logits(vlm)
        vlm.model(**vlm.images)


def test_a_vision_tower_that_skips_a_layer_is_noticed(own):
    own.grid.site("V0.H0").attention.forward = lambda hidden_states, *args, **kwargs: (hidden_states, None)
    with (
        pytest.raises(HeadAtlasError, match=r"layer V0 \(.*\) did not take place"),
        edit_heads(own.model, own.grid, [zero("V0.H0")]),
    ):
        own.model(**own.images)


def test_gradient_checkpointing_is_refused_under_an_edit(own):
    own.model.train()
    own.model.model.language_model.gradient_checkpointing = True
    with torch.enable_grad(), pytest.raises(HeadAtlasError, match=r"gradient_checkpointing_disable\(\)"):
        edited(own)
    edited(own)  # without gradients nothing is run again


def test_an_edit_first_used_in_inference_mode_takes_gradients_later(own):
    shift = zero(HEADS)
    with edit_heads(own.model, own.grid, [shift]):
        with torch.inference_mode():
            logits(own)
        with torch.enable_grad():
            logits(own).sum().backward()


def test_a_model_moved_to_another_dtype_is_edited(own):
    with edit_heads(own.model, own.grid, [zero(HEADS)]):
        logits(own)
        own.model.to(torch.float64)
        assert logits(own).dtype == torch.float64


def test_z_that_is_not_finite_names_model_dtype_layer_and_what_to_try(own):
    own.model.to(torch.float16)
    layers(own)[0].mlp.down_proj.weight.mul_(1e5)
    with pytest.raises(
        HeadAtlasError, match=r"LlavaFor.* in float16: z of layer L1 must be finite.*bfloat16 or float32"
    ), ZReader(own.grid):  # fmt: skip
        logits(own)


def test_z_at_padding_may_be_anything(own):
    def spoil(module, args):
        hidden = args[0].clone()
        hidden[0, :3] = float("nan")
        return (hidden,)

    mask = torch.ones_like(own.ids)
    layers(own)[1].self_attn.o_proj.register_forward_pre_hook(spoil)
    with pytest.raises(HeadAtlasError, match=r"in float32: z of layer L1 must be finite.*damaged"), ZReader(own.grid):
        logits(own, attention_mask=mask)
    mask[0, :3] = 0
    with ZReader(own.grid):
        logits(own, attention_mask=mask)


def test_z_of_a_layer_that_was_not_read_says_so(llava):
    with ZReader(llava.grid) as reader:
        pass
    with pytest.raises(HeadAtlasError, match="z of layer 0 was not read: this reader has nothing"):
        reader.z[0]
