"""Numbers, unsaved buffers, hooks and methods that somebody changed in the modules of a loaded model."""

import copy
import functools
import re
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.mistral.modeling_mistral import MistralMLP

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import edit_heads
from headatlas.proof.build import tiny_model
from headatlas.vlm import VLM, HeadRecipe, load_vlm, untrained_twin
from headatlas.vlm.identity import differences
from headatlas.vlm.set_by_hand import set_by_hand
from headatlas.vlm.vision import VisionMemo


@pytest.fixture
def own(tiny_vlm):
    return VLM(tiny_vlm.name, copy.deepcopy(tiny_vlm.model), tiny_vlm.processor)


def layer(vlm):
    return vlm.model.model.language_model.layers[0]


def answers(vlm, questions):
    return [vlm.logprob(question.images[0], question.text, question.answer) for question in questions[:2]]


def scale_frequencies(vlm):
    vlm.model.model.language_model.rotary_emb.inv_freq.mul_(1.5)


def all_lower_precision(vlm):
    rotary = vlm.model.model.language_model.rotary_emb
    rotary.inv_freq = rotary.inv_freq.to(torch.bfloat16)


CHANGES = {
    "language_model.norm.variance_epsilon 0.5 instead of 1e-06": lambda vlm: setattr(
        vlm.model.model.language_model.norm, "variance_epsilon", 0.5
    ),
    "layers.0.self_attn.scaling 0.9 instead of 0.408": lambda vlm: setattr(layer(vlm).self_attn, "scaling", 0.9),
    "rotary_emb.attention_scaling 2.0 instead of 1.0": lambda vlm: setattr(
        vlm.model.model.language_model.rotary_emb, "attention_scaling", 2.0
    ),
    "rotary_emb.inv_freq ": scale_frequencies,
    "rotary_emb.inv_freq  ": all_lower_precision,
    "layer_norm1.eps 0.5 instead of 1e-05": lambda vlm: setattr(
        vlm.model.model.vision_tower.encoder.layers[0].layer_norm1, "eps", 0.5
    ),
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_number_set_by_hand_is_in_the_identity(own, tiny_questions, part):
    before, fingerprint, bare = own.identity, own.fingerprint, answers(own, tiny_questions)
    assert "set_by_hand" not in before
    CHANGES[part](own)
    assert answers(own, tiny_questions) != pytest.approx(bare, abs=1e-6)
    now = own.identity
    assert part.strip() in now["set_by_hand"]
    assert {key for key in {*before, *now} if before.get(key) != now.get(key)} == {"set_by_hand"}
    assert own.fingerprint != fingerprint
    again = VLM("anew", own.model, own.processor)
    assert again.fingerprint == own.fingerprint  # also of a model that was changed before it was wrapped
    assert "set_by_hand (not set before, " in differences(before, now)


def test_it_names_a_few_and_counts_the_rest(own):
    for one in own.model.model.language_model.modules():
        if hasattr(one, "scaling") or hasattr(one, "variance_epsilon"):
            one.scaling = one.variance_epsilon = 0.5
    first = own.identity["set_by_hand"]
    assert first.count("instead of") == 3
    assert "4 more (" in first
    layer(own).self_attn.scaling = 0.6
    assert own.identity["set_by_hand"] != first


def test_setting_a_number_back_gives_the_same_fingerprint(own):
    fingerprint, scaling = own.fingerprint, layer(own).self_attn.scaling
    layer(own).self_attn.scaling = 0.9
    assert own.fingerprint != fingerprint
    layer(own).self_attn.scaling = scaling
    assert own.fingerprint == fingerprint


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it
def test_a_number_inside_of_an_adapter_is_found(own):
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(own.model, peft.LoraConfig(r=2, target_modules=["o_proj"]))
    vlm = VLM("adapted", model, own.processor)
    assert "set_by_hand" not in vlm.identity
    layer(own).self_attn.scaling = 0.9
    assert "self_attn.scaling 0.9" in vlm.identity["set_by_hand"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loaded_models_and_twins_are_as_built(tiny_vlm_dir, dtype):
    vlm = load_vlm(tiny_vlm_dir, device="cpu", dtype=dtype)
    assert set_by_hand(vlm.model) == ""
    assert set_by_hand(untrained_twin(vlm).model) == ""


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
def test_frequencies_that_a_forward_sets_are_no_change(own, rope_type):
    config = copy.deepcopy(own.model.config)
    text = config.text_config
    text.max_position_embeddings = 16
    text.rope_parameters = {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 4.0}
    if rope_type == "longrope":
        text.rope_parameters |= {"original_max_position_embeddings": 16}
        text.rope_parameters |= {"short_factor": [1.0] * 3, "long_factor": [2.0, 3.0, 4.0]}
    model = type(own.model)._from_config(config).eval()
    rotary = model.model.language_model.rotary_emb
    before = rotary.inv_freq.clone()
    assert set_by_hand(model) == ""
    with torch.no_grad():
        model(input_ids=torch.arange(10, 60)[None])
    assert not torch.equal(rotary.inv_freq, before)
    assert set_by_hand(model) == ""
    rotary.attention_scaling = 3.0
    assert "attention_scaling 3.0" in set_by_hand(model)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "gemma3", "internvl", "mllama", "idefics3"])
def test_other_families_are_as_built(family):
    assert set_by_hand(tiny_model(family)) == ""


def test_a_model_that_cannot_be_built_again_has_no_such_part(own, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("needs the network")

    monkeypatch.setattr(type(own.model), "_from_config", classmethod(fails))
    own.model.config.text_config.rope_theta = 77.0  # not built before
    layer(own).self_attn.scaling = 0.9
    assert "set_by_hand" not in own.identity


def double(module, args, output):
    return output * 2


def test_hooks_that_somebody_set_are_in_the_identity_and_headatlas_own_are_not(own):
    fingerprint = own.fingerprint
    with own.edit(ha.zero("L0.H1")):
        assert own.fingerprint == fingerprint
    handle = layer(own).mlp.register_forward_hook(double)
    first = own.identity["hooks"]
    assert "layers.0.mlp.forward_hook_" in first
    assert "double in process" in first
    handle.remove()
    assert own.fingerprint == fingerprint
    with layer(own).mlp.register_forward_hook(double):  # another hook, which may do something else
        assert own.identity["hooks"] != first


def test_a_replaced_forward_is_in_the_identity(own):
    real = layer(own).mlp.forward
    layer(own).mlp.forward = lambda x: real(x) * 2
    assert "layers.0.mlp.forward" in own.identity["hooks"]


def doubled(module, x):
    return REAL_MLP(module, x) * 2


REAL_MLP = LlamaMLP.forward
PATCHES = {
    "a function": (LlamaMLP, "forward", doubled),
    "a lambda": (LlamaMLP, "forward", lambda self, x: REAL_MLP(self, x) * 2),
    "one that calls itself the old one": (LlamaMLP, "forward", functools.wraps(REAL_MLP)(doubled)),
    "the method of a base class": (
        nn.Linear,
        "forward",
        lambda self, x: nn.functional.linear(x, self.weight, self.bias) * 2,
    ),
    "__call__": (LlamaMLP, "__call__", lambda self, x: nn.Module.__call__(self, x) * 2),
    "a function of the module": (modeling_llama, "apply_rotary_pos_emb", lambda q, k, *rest, **options: (q * 2, k * 2)),
}


@pytest.mark.parametrize("how", PATCHES)
def test_a_patched_class_is_in_the_identity_and_its_answers_are_kept_apart(own, tiny_questions, monkeypatch, how):
    before, fingerprint, bare = own.identity, own.fingerprint, answers(own, tiny_questions)
    assert "hooks" not in before
    where, name, patch = PATCHES[how]
    with monkeypatch.context() as patched:
        patched.setattr(where, name, patch, raising=False)
        assert answers(own, tiny_questions) != pytest.approx(bare, abs=1e-6)
        now = own.identity
        assert f"{where.__name__}.{name} " in now["hooks"]
        assert {key for key in {*before, *now} if before.get(key) != now.get(key)} == {"hooks"}
        assert own.fingerprint != fingerprint
    assert own.fingerprint == fingerprint


def test_another_class_of_the_library_is_the_same_patch_in_each_process(own, monkeypatch):
    monkeypatch.setattr(LlamaMLP, "forward", MistralMLP.forward)
    assert re.fullmatch(
        r"transformers\.models\.llama\.modeling_llama\.LlamaMLP\.forward "
        r"transformers\.models\.mistral\.modeling_mistral\.MistralMLP\.forward [0-9a-f]{8}",
        own.identity["hooks"],
    )


def test_an_attention_of_ones_own_is_in_the_identity(own, monkeypatch):
    for one in own.model.modules():
        if getattr(getattr(one, "config", None), "_attn_implementation", None):
            one.config._attn_implementation = "mine"
    ALL_ATTENTION_FUNCTIONS.register("mine", lambda *args, **options: None)
    try:
        assert "attention mine" in own.identity["hooks"]
    finally:
        del ALL_ATTENTION_FUNCTIONS._global_mapping["mine"]


def test_image_features_are_computed_again_after_a_change(own, tiny_questions):
    memo = VisionMemo(own)
    with memo.installed():
        bare = answers(own, tiny_questions)
    own.model.model.vision_tower.encoder.layers[0].layer_norm1.eps = 0.5
    with memo.installed():
        changed = answers(own, tiny_questions)
    assert changed == answers(own, tiny_questions)
    assert changed != pytest.approx(bare, abs=1e-6)
    own.model.config.vision_feature_layer = -2
    with memo.installed():
        other = answers(own, tiny_questions)
    assert other == answers(own, tiny_questions)
    assert other != pytest.approx(changed, abs=1e-6)
    with own.model.model.vision_tower.encoder.layers[0].mlp.register_forward_hook(double), memo.installed():
        assert answers(own, tiny_questions) != pytest.approx(other, abs=1e-6)


def test_dropout_that_is_on_is_refused(own, tiny_questions):
    layer(own).self_attn.attention_dropout = 0.1
    bare = answers(own, tiny_questions)
    own.model.train()
    with pytest.raises(
        HeadAtlasError, match=r"evaluation mode, got .*layers.0.self_attn.attention_dropout in training mode"
    ):
        answers(own, tiny_questions)
    own.model.eval()
    assert answers(own, tiny_questions) == bare
    layer(own).mlp = nn.Sequential(layer(own).mlp, nn.Dropout(0.5))
    layer(own).mlp[1].train()
    with pytest.raises(HeadAtlasError, match=r"layers.0.mlp.1.p in training mode"):
        own.answer(tiny_questions[0].images[0], "Is it red?")


def test_edits_that_were_not_made_through_the_object_are_in_its_identity(own):
    fingerprint, other = own.fingerprint, VLM("other", own.model, own.processor)
    with own.edit(ha.zero("L0.H1")), own.edit(ha.zero("L1.H1"), scope="answer"):
        assert own.fingerprint == fingerprint
        assert other.identity["edits"].startswith("all:")
    with edit_heads(own.model, own.heads, [ha.zero("L0.H1")]):
        first = own.fingerprint
        assert first != fingerprint
        with own.edit(ha.zero("L0.H1")):
            assert own.fingerprint == first
    with edit_heads(own.model, own.heads, [ha.zero("L0.H2")]):
        assert own.fingerprint not in (first, fingerprint)
    assert own.fingerprint == fingerprint


def test_autocast_and_precision_of_products_are_in_the_identity(own):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert own.identity["precision"] == "autocast torch.bfloat16"
    torch.set_float32_matmul_precision("medium")
    try:
        assert own.identity["precision"] == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert "precision" not in own.identity


def test_a_recipe_of_a_changed_model_is_refused_by_the_model_as_built(own, tiny_vlm):
    layer(own).self_attn.scaling = 0.9
    recipe = HeadRecipe.of(own, "test", edits=[ha.zero("L0.H1")])
    recipe.check(own)
    with pytest.raises(HeadAtlasError, match=r"another model: set_by_hand \(.* before, not set now\)"):
        recipe.check(tiny_vlm)


def louder(module, args, output):
    return output * 1.01 if isinstance(module, nn.Linear) else None


class Louder(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        return made * 1.01 if function is nn.functional.linear else made


class LouderAten(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        return made * 1.01 if function is torch.ops.aten.silu.default else made


@contextmanager
def patched_function(name):
    real = getattr(nn.functional, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, name, lambda *args, **options: real(*args, **options) * 1.01)
        yield


@contextmanager
def seen_darker(owner):
    """`owner` is an image processor or its class."""
    real = owner.preprocess

    def preprocess(*args, **options):
        made = real(*args, **options)
        made["pixel_values"] = made["pixel_values"] * 0.5
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "preprocess", preprocess)
        yield


@pytest.mark.parametrize(
    ("change", "part", "name"),
    [
        (lambda vlm: nn.modules.module.register_module_forward_hook(louder), "hooks", "every module.forward_hook_"),
        (lambda vlm: Louder(), "hooks", "mode Louder"),
        (lambda vlm: LouderAten(), "hooks", "mode LouderAten"),
        (lambda vlm: patched_function("linear"), "hooks", "torch.nn.functional.linear"),
        (lambda vlm: patched_function("silu"), "hooks", "torch.nn.functional.silu"),
        (
            lambda vlm: patched_function("scaled_dot_product_attention"),
            "hooks",
            "functional.scaled_dot_product_attention",
        ),
        (lambda vlm: seen_darker(vlm.processor.image_processor), "processor_methods", "Processor.preprocess "),
        (lambda vlm: seen_darker(type(vlm.processor.image_processor)), "processor_methods", "Processor.preprocess "),
    ],
)
def test_what_is_patched_everywhere_is_in_the_identity(own, tiny_questions, change, part, name):
    before, bare = own.identity, answers(own, tiny_questions)
    assert not {"hooks", "processor_methods"} & set(before)
    with change(own):
        assert answers(own, tiny_questions) != pytest.approx(bare, abs=1e-6)
        now = own.identity
        assert name in now[part]
        assert {key for key in {*before, *now} if before.get(key) != now.get(key)} == {part}
    assert own.identity == before


def test_a_replaced_method_of_a_module_is_in_the_identity(own):
    model = own.model.model
    real = model.get_image_features
    model.get_image_features = lambda *args, **options: real(*args, **options)
    assert "model.get_image_features " in own.identity["hooks"]


def test_a_token_without_an_embedding_and_a_picture_of_another_size_are_one_line(tiny_vlm_dir, tiny_questions):
    own = load_vlm(str(tiny_vlm_dir), device="cpu")
    own.processor.image_processor.size = {"height": 12, "width": 12}
    own.processor.image_processor.crop_size = {"height": 12, "width": 12}
    with pytest.raises(HeadAtlasError, match="the model must take what its processor makes, but fails"):
        answers(own, tiny_questions)
    own.tokenizer.add_tokens([tiny_questions[0].text[1:6]])
    with pytest.raises(HeadAtlasError, match=r"token '.*' must have one of the model's 360 embeddings, got id 360"):
        answers(own, tiny_questions)
