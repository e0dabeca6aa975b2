"""What is written as a checkpoint or adapter is the model with its recipe, or refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, mean, scale, steer
from headatlas.vlm import HeadRecipe, evaluate, load_vlm
from headatlas.vlm.model import VLM
from headatlas.vlm.saving import require_own, require_plain
from headatlas.vlm.surgery import scaled_output


@pytest.fixture
def own(tiny_vlm_dir):
    return load_vlm(str(tiny_vlm_dir), device="cpu")


def output_of(vlm, layer):
    return vlm.heads.tower("L")[layer].module


def put(vlm, layer, module):
    parent, _, name = vlm.heads.tower("L")[layer].name.rpartition(".")
    setattr(vlm.model.get_submodule(parent), name, module)


class Louder(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 1.5


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def parametrized(vlm):
    parametrize.register_parametrization(output_of(vlm, 1), "weight", Doubled())


def pruned(vlm):
    prune.l1_unstructured(output_of(vlm, 1), "weight", 0.5)


def replaced(vlm):
    old = output_of(vlm, 1)
    made = Louder(old.in_features, old.out_features, bias=False)
    made.load_state_dict(old.state_dict())
    put(vlm, 1, made)


def hooked(vlm):
    output_of(vlm, 1).register_forward_pre_hook(lambda module, args: (args[0] * 0.5, *args[1:]))


def adapted(vlm):
    peft = pytest.importorskip("peft")
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False), vlm.model)


def halved(vlm):
    vlm.model.bfloat16()  # rounds the rotary frequencies too, which no checkpoint holds


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (parametrized, "o_proj ParametrizedLinear instead of Linear"),
        (pruned, "o_proj with weight_mask, weight_orig instead of weight"),
        (replaced, "o_proj Louder instead of Linear"),
        (hooked, "forward_pre_hook"),
        (adapted, "must have no adapters yet"),
        (halved, "inv_freq"),
    ],
)
def test_what_no_checkpoint_holds_is_neither_merged_nor_exported(own, tmp_path, change, why):
    change(own)
    recipe = HeadRecipe.of(own, "gain", [scale("L1.H0", 3.0)])
    with pytest.raises(HeadAtlasError, match=why):
        recipe.merge(own, tmp_path / "merged")
    with pytest.raises(HeadAtlasError, match=why):
        recipe.export_peft(own, tmp_path / "adapter")
    assert not any(tmp_path.iterdir())


def test_a_weight_of_two_layers_is_not_changed_for_one(own, tmp_path):
    output_of(own, 0).weight = output_of(own, 1).weight
    recipe = HeadRecipe.of(own, "gain", [scale("L1.H0", 3.0)])
    for write in (recipe.merge, recipe.export_peft):
        with pytest.raises(HeadAtlasError, match="are one weight, and a change of one would change the other"):
            write(own, tmp_path / "made")
    with pytest.raises(HeadAtlasError, match="are one weight"), scaled_output(own, "L1.H0", 0.05):
        pass
    require_own(own.model, [own.model.get_input_embeddings().weight])


def test_a_layer_in_two_places_takes_no_low_rank_update(own):
    pytest.importorskip("peft")
    put(own, 0, output_of(own, 1))
    site = own.heads.tower("L")[1]
    update = {site.name: (torch.ones(1, site.module.in_features), torch.ones(site.module.out_features, 1))}
    recipe = HeadRecipe.of(own, "lora", low_rank=update, settings={"heads": ["L1.H0"]})
    with pytest.raises(HeadAtlasError, match="must be a layer of its own"), recipe.applied(own):
        pass


def test_low_rank_updates_of_offloaded_layers_are_refused(own):
    pytest.importorskip("peft")
    site = own.heads.tower("L")[1]
    update = {site.name: (torch.ones(1, site.module.in_features), torch.ones(site.module.out_features, 1))}
    recipe = HeadRecipe.of(own, "lora", low_rank=update, settings={"heads": ["L1.H0"]})
    from accelerate import cpu_offload

    cpu_offload(own.model, execution_device=torch.device("cpu"))
    with pytest.raises(HeadAtlasError, match="its weights are offloaded"), recipe.applied(own):
        pass


def test_a_plain_model_is_plain(own):
    require_plain(own.model)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 2), (2, 0, 1), (0, 1, 2, 1)])
def test_merged_edits_act_in_their_order(own, tiny_questions, tmp_path, order):
    """Edits that add and edits that scale do not commute; the merged bias must hold what the last one leaves."""
    config = copy.deepcopy(own.model.config)
    config.text_config.attention_bias = True
    model = type(own.model)(config).eval()
    model.load_state_dict(own.model.state_dict(), strict=False)
    for name, parameter in model.named_parameters():
        if "language_model" in name and name.endswith("proj.bias"):
            nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(len(name)))
    vlm = VLM("biased", model, own.processor)
    shape = (*vlm.heads.shape, vlm.heads.d_head)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    directions = values / values.norm(dim=-1, keepdim=True)
    heads = HeadSet("L0.H1 L1.H2")
    edits = (steer(heads, directions, 3.0, torch.ones(shape[:2])), scale(heads, 2.5), mean("L1.H2", values))
    recipe = HeadRecipe.of(vlm, "several", [edits[i] for i in order])
    with recipe.applied(vlm):
        wanted = evaluate(vlm, tiny_questions)["logprob"].to_numpy()
    merged = load_vlm(str(recipe.merge(vlm, tmp_path / "merged")), device="cpu")
    made = evaluate(merged, tiny_questions)["logprob"].to_numpy()
    assert abs(made - wanted).max() < 1e-4
    assert abs(evaluate(vlm, tiny_questions)["logprob"].to_numpy() - wanted).max() > 1e-2
