"""Tiny random VLMs of five families, from configs alone (no download), with text and image inputs."""

import functools
from types import SimpleNamespace

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from headatlas.heads import find_heads

VOCAB = 99
TEXT = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def _llava():
    return CONFIG_MAPPING["llava"](
        text_config={**TEXT, "model_type": "llama"},
        vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        image_token_index=5,
        image_seq_length=4,
        vision_feature_layer=-1,
    )


def _qwen2_5_vl():
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 24}
    return CONFIG_MAPPING["qwen2_5_vl"](
        text_config={**TEXT, "hidden_size": 32, "rope_parameters": _mrope([1, 1, 2])},
        vision_config={**vision, "out_hidden_size": 32, "window_size": 28, "fullatt_block_indexes": [1]},
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=7,
        vision_end_token_id=8,
    )


def _mrope(section):
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": section}


def _gemma3():
    # d_head 10 is not hidden / heads (6), and one layer attends through a sliding window.
    return CONFIG_MAPPING["gemma3"](
        text_config={
            **TEXT,
            "head_dim": 10,
            "query_pre_attn_scalar": 10,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        image_token_index=5,
        boi_token_index=7,
        eoi_token_index=8,
        mm_tokens_per_image=4,
    )


def _mllama():
    vision = {k: v for k, v in VISION.items() if k != "num_attention_heads"}
    return CONFIG_MAPPING["mllama"](
        text_config={**TEXT, "num_hidden_layers": 3, "cross_attention_layers": [1], "pad_token_id": 0},
        vision_config={
            **vision,
            "attention_heads": 2,
            "num_global_layers": 1,
            "vision_output_dim": 32,
            "intermediate_layers_indices": [0],
            "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]],
        },
        image_token_index=5,
    )


def _idefics3():
    return CONFIG_MAPPING["idefics3"](
        text_config={**TEXT, "model_type": "llama"}, vision_config=VISION, image_token_id=5, scale_factor=2
    )


CONFIGS = {
    "llava": _llava,
    "qwen2_5_vl": _qwen2_5_vl,
    "gemma3": _gemma3,
    "mllama": _mllama,
    "idefics3": _idefics3,
}


MADE = []


@functools.cache
def tiny(family):
    """`.model`, `.grid`, `.ids [2, 9]` text, `.images` inputs of the same rows with one image each."""
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(CONFIGS[family]()).eval()
    # Unit-scale weights: with the usual 0.02 every head's effect would drown in float error.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
            elif "gate" in name:
                parameter.fill_(0.7)  # mllama's cross attention is closed (0) at birth
    ids = torch.randint(10, VOCAB, (2, 9))
    made = SimpleNamespace(family=family, model=model, grid=find_heads(model), ids=ids, images=_images(family, ids))
    MADE.append(made)
    return made


def _images(family, ids):
    n_image = 1 if family in ("qwen2_5_vl", "idefics3", "mllama") else 4
    # Image tokens in the middle, so that text lies on both sides.
    with_image = torch.cat([ids[:, :3], torch.full((2, n_image), 5), ids[:, 3:]], dim=1)
    pixels = torch.randn(2, 3, 28, 28)
    inputs = {"input_ids": with_image, "attention_mask": torch.ones_like(with_image)}
    if family == "qwen2_5_vl":
        inputs |= {"pixel_values": torch.randn(2 * 4, 3 * 2 * 14 * 14), "image_grid_thw": torch.tensor([[1, 2, 2]] * 2)}
        inputs |= {"mm_token_type_ids": (with_image == 5).int()}
    elif family == "mllama":
        inputs |= {"pixel_values": pixels[:, None, None], "aspect_ratio_ids": torch.ones(2, 1, dtype=torch.long)}
        inputs |= {"aspect_ratio_mask": torch.ones(2, 1, 1, dtype=torch.long)}
        inputs |= {"cross_attention_mask": torch.ones(2, with_image.shape[1], 1, 1, dtype=torch.long)}
    elif family == "idefics3":
        inputs |= {"pixel_values": pixels[:, None]}
    else:
        inputs |= {"pixel_values": pixels}
    if family == "gemma3":
        inputs |= {"token_type_ids": (with_image == 5).int()}
    return inputs


@pytest.fixture(params=list(CONFIGS))
def vlm(request):
    return tiny(request.param)


@pytest.fixture
def llava():
    return tiny("llava")


@pytest.fixture(scope="session")
def tiny_vlm():
    return tiny


@pytest.fixture
def strange_kernel(llava, monkeypatch):
    """Makes the language model's attention one and a half times what it should be; call it to end that, or to begin it in the
    vision tower."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from headatlas.heads.attention.interface import AttentionInterface

    kernel = ALL_ATTENTION_FUNCTIONS["sdpa"]
    where = [type(llava.model.model.language_model.layers[0].self_attn)]

    def strange(module, query, key, value, attention_mask, **kwargs):
        out, rest = kernel(module, query, key, value, attention_mask, **kwargs)
        return out * 1.5 if type(module) in where else out, rest

    def change(vision=False):
        where.clear()
        if vision:
            where.append(
                type(
                    llava.model.model.vision_tower.get_submodule(
                        llava.grid.tower("V")[0].owner.split("vision_tower.")[1]
                    )
                )
            )

    monkeypatch.setitem(AttentionInterface._global_mapping, "sdpa", strange)
    return change


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True)
def _no_hook_left():
    """No test may leave a hook on a shared model: it would change every later one."""
    yield
    for made in MADE:
        # Only our kind of hook: transformers itself keeps forward hooks to collect hidden states.
        assert not any(module._forward_pre_hooks for module in made.model.modules())
