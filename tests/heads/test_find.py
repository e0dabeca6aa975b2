"""Every attention layer is found, in the right tower and order, and z really is the heads' separate output."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from headatlas.errors import HeadAtlasError
from headatlas.heads import ZReader, find_heads

SHAPES = {
    "llava": {"L": (2, 4, 6), "V": (2, 2, 8)},
    "qwen2_5_vl": {"L": (2, 4, 8), "V": (2, 2, 8)},
    "gemma3": {"L": (2, 4, 10), "V": (2, 2, 8)},
    "mllama": {"L": (2, 4, 6), "X": (1, 4, 6), "V": (3, 2, 8)},
    "idefics3": {"L": (2, 4, 6), "V": (2, 2, 8)},
}


def test_towers_have_the_configured_shapes(vlm):
    grid = vlm.grid
    assert {tower: grid.dims(tower) for tower in "LVX" if grid.tower(tower)} == SHAPES[vlm.family]
    assert grid.shape == SHAPES[vlm.family]["L"][:2]
    assert grid.d_head == SHAPES[vlm.family]["L"][2]


def test_head_sum_identity_at_every_site(vlm):
    """sum_h W_O[:, h] z_h + b == the module's output, and every site is called in a forward with an image."""
    outputs = {}
    handles = [
        site.module.register_forward_hook(lambda m, a, out, key=(site.tower, site.layer): outputs.update({key: out}))
        for site in vlm.grid.sites
    ]
    towers = [tower for tower in "LVX" if vlm.grid.tower(tower)]
    readers = {tower: ZReader(vlm.grid, tower) for tower in towers}
    for reader in readers.values():
        reader.__enter__()
    vlm.model(**vlm.images)
    for reader in readers.values():
        reader.__exit__(None, None, None)
    for handle in handles:
        handle.remove()
    for site in vlm.grid.sites:
        z = readers[site.tower].z[site.layer]
        weight = site.module.weight.unflatten(1, (site.n_heads, site.d_head))  # [out, H, D]
        summed = sum(z[:, :, h] @ weight[:, h].T for h in range(site.n_heads))
        if site.module.bias is not None:
            summed = summed + site.module.bias
        torch.testing.assert_close(summed, outputs[site.tower, site.layer].reshape(summed.shape), rtol=1e-4, atol=1e-5)


def test_layers_are_numbered_in_forward_order(vlm):
    for tower in "LVX":
        if not vlm.grid.tower(tower):
            continue
        called = []
        with ZReader(vlm.grid, tower, on_z=lambda layer, z: called.append(layer)):  # noqa: B023
            vlm.model(**vlm.images)
        assert called == list(range(len(vlm.grid.tower(tower))))


def test_sdpa_stays(vlm):
    config = vlm.model.config
    assert config._attn_implementation == "sdpa"
    assert config.get_text_config()._attn_implementation == "sdpa"


def test_siglip_pooling_head_is_left_out_with_its_reason(tiny_vlm):
    model = tiny_vlm("gemma3").model
    model.model.vision_tower.pool = nn.MultiheadAttention(16, 2)
    try:
        assert any("pool" in reason and "MultiheadAttention" in reason for reason in find_heads(model).skipped)
    finally:
        del model.model.vision_tower.pool


class Fake(nn.Module):
    """A language model of one layer, to break in one place at a time."""

    def __init__(self, mixer):
        super().__init__()
        self.embed = nn.Embedding(7, 12)
        self.mixer = mixer

    def get_input_embeddings(self):
        return self.embed


def attention(width=12, **attributes):
    module = nn.Module()
    module.q_proj = nn.Linear(12, width)
    module.o_proj = nn.Linear(width, 12)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize("attributes", [{"num_heads": 3}, {"head_dim": 4}, {"num_heads": 3, "head_dim": 4}])
def test_fake_model_is_found_from_either_number(attributes):
    assert find_heads(Fake(attention(**attributes))).dims() == (1, 3, 4)


def test_fused_qkv_is_found():
    module = attention(num_heads=3)
    del module.q_proj
    module.qkv = nn.Linear(12, 36)
    assert find_heads(Fake(module)).dims() == (1, 3, 4)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"num_heads": 5}, "no multiple of 5"),
        ({"num_heads": 3, "head_dim": 5}, "3 heads x 5 make 15"),
        ({}, "neither the module nor its config"),
        ({"A_log": torch.zeros(3), "num_heads": 3}, "linear attention"),
        ({"conv1d": nn.Conv1d(12, 12, 2)}, "linear attention or a convolution"),
    ],
)
def test_what_does_not_add_up_is_refused_with_the_reason(attributes, reason):
    with pytest.raises(HeadAtlasError, match=reason):
        find_heads(Fake(attention(**attributes)))


def test_model_without_attention_or_embeddings_is_refused():
    with pytest.raises(HeadAtlasError, match="no addressable attention: no module"):
        find_heads(Fake(nn.Linear(12, 12)))
    with pytest.raises(HeadAtlasError, match="no input embeddings"):
        find_heads(nn.Linear(2, 2))


class TwoStacks(nn.Module):
    """An encoder-decoder in miniature: self-attention in both stacks, cross attention in the decoder."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(is_encoder_decoder=True)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.attention = attention(num_heads=2)
        self.decoder.attention = attention(num_heads=3)
        self.decoder.encoder_attn = attention(num_heads=6)

    def get_encoder(self):
        return self.encoder

    def get_decoder(self):
        return self.decoder


def test_encoder_decoder_has_a_tower_for_each_kind_of_attention():
    grid = find_heads(TwoStacks())
    assert {site.tower: site.n_heads for site in grid.sites} == {"L": 3, "X": 6, "V": 2}
    assert grid.language is not None
    assert grid.tower("L")[0].owner == "decoder.attention"


def test_encoder_decoder_whose_stacks_cannot_be_told_apart_is_refused():
    model = TwoStacks()
    model.get_decoder = lambda: model
    with pytest.raises(HeadAtlasError, match="cannot be distinguished"):
        find_heads(model)


class Inner(PreTrainedModel):
    """A model of its own, here without weights."""

    config_class = PreTrainedConfig

    def __init__(self):
        super().__init__(PreTrainedConfig())


def test_a_model_inside_the_language_model_is_no_layer_of_it():
    model = Fake(attention(num_heads=3))
    model.protein_encoder = Inner()
    model.protein_encoder.attention = attention(num_heads=2)
    grid = find_heads(model)
    assert [site.name for site in grid.sites] == ["mixer.o_proj"]
    assert grid.skipped[0].startswith("protein_encoder.attention")


def test_connector_is_a_tower_and_other_attention_is_left_out():
    model = nn.Module()
    model.language = Fake(attention(num_heads=3))
    model.get_input_embeddings = model.language.get_input_embeddings
    model.qformer = nn.Module()
    model.qformer.attention = attention(num_heads=2)
    model.elsewhere = attention(num_heads=2)
    grid = find_heads(model)
    assert [site.name for site in grid.tower("C")] == ["qformer.attention.o_proj"]
    assert any("elsewhere" in reason for reason in grid.skipped)


def test_vision_tower_inside_the_language_models_module_is_no_language():
    """Idefics keeps its vision tower beside the text layers, under the embeddings' own parent."""
    model = Fake(attention(num_heads=3))
    model.vision = nn.Module()
    model.vision.patch_embedding = nn.Conv2d(3, 12, 2)
    model.vision.attention = attention(num_heads=2)
    model.connector = attention(num_heads=6)
    grid = find_heads(model)
    assert [site.name for site in grid.tower("V")] == ["vision.attention.o_proj"]
    assert [site.name for site in grid.tower("L")] == ["mixer.o_proj"]
    assert [site.name for site in grid.tower("C")] == ["connector.o_proj"]


def test_what_has_queries_and_keys_but_no_known_output_is_named():
    """Once, not again for its parts or what wraps it, and it does not change which module is the language model."""
    model = nn.Module()
    model.language = Fake(attention(num_heads=3))
    model.language.mixer.inner = nn.Module()  # a part of an attention that is told
    model.language.mixer.inner.query, model.language.mixer.inner.key = nn.Linear(12, 12), nn.Linear(12, 12)
    model.get_input_embeddings = model.language.get_input_embeddings
    model.codes = nn.Module()
    model.codes.q, model.codes.k, model.codes.proj_out = (nn.Conv2d(3, 3, 1) for _ in range(3))
    grid = find_heads(model)
    assert grid.skipped == ("codes (Module): queries and keys, but no output projection by a known name",)
    assert grid.language is model.language


def test_linear_attention_layers_are_named_and_left_out():
    model = Fake(attention(num_heads=3))
    model.linear = attention(num_heads=3, A_log=torch.zeros(3))
    grid = find_heads(model)
    assert grid.dims() == (1, 3, 4)
    assert len(grid.skipped) == 1
    assert grid.skipped[0].startswith("linear (Module): linear attention")
