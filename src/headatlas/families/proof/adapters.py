"""What structure does not tell about a family, declared: one small entry a family, data only.

Most families need none. An entry says what a real checkpoint's configuration has and the class's defaults lack, which sizes of a
projector hang together, or how the family's pictures look when its image processor cannot be told to make small ones.
"""

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Adapter:
    """What the generic rules (shrink.py, inputs.py) need to be told about one family.

    Attributes:
        start: arguments of the configuration class, where its defaults leave out what a real checkpoint has.
        config: values merged into the shrunken configuration, key by key.
        processor: the image processor class, where transformers' own list has none for the family.
        processor_settings: its arguments, beside the sizes that are read from the configuration.
        nested_images: the processor takes one list of images a row.
        picture: width and height of the picture in pixels.
        pixels: instead of a processor: image inputs by name, each the shape of one row's (filled with noise), or a function
            of the number of rows.
        n_image_tokens: image tokens of one picture, where the model has no `get_image_features` to count them by.
        image_token: the token that stands for a piece of the image, where the configuration names none.
        also: a second special token and how often it follows the image's (of a video, where that has a tower of its own).
        leave_out: inputs that the forward's signature names, but must not be given.
        idle: modules with attention that take no part in reading a picture and text, each with the reason; not checked.
        discrete: pictures reach the text as discrete codes, which one head's silence may leave as they are.
        vision_unproven: why the vision tower of a real model is not what the tiny one has.
        refuse: why the family is not checked at all.
    """

    start: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    processor: str | None = None
    processor_settings: dict[str, Any] = field(default_factory=dict)
    nested_images: bool = False
    picture: tuple[int, int] = (56, 56)
    pixels: dict[str, Any] = field(default_factory=dict)
    n_image_tokens: int | None = None
    image_token: int | None = None
    also: tuple[int, int] | None = None
    leave_out: tuple[str, ...] = ()
    idle: dict[str, str] = field(default_factory=dict)
    discrete: bool = False
    vision_unproven: str = ""
    refuse: str = ""


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _mrope(*sections: int) -> dict[str, Any]:
    """Multimodal rotary sections: every checkpoint has them, the classes' defaults do not."""
    return {"text_config": {"rope_parameters": {"mrope_section": list(sections)}}}


_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_BOTH_ROPES = {"sliding_attention": _ROPE, "full_attention": _ROPE}
_OMNI = {
    "vision_start_token_id": 110,
    "vision_end_token_id": 111,
    "audio_start_token_id": 112,
    "audio_end_token_id": 113,
}
_TILES = {"image_grid_pinpoints": [[56, 112], [112, 56]]}
_LARGER_TILES = {"image_grid_pinpoints": [[128, 256], [256, 128]]}
_CODES = range(8)
_MORE_CODES = range(24)

ADAPTERS: dict[str, Adapter] = {
    "apertus1p5": Adapter(
        config={
            "image_token_id": 100,
            "audio_token_id": 99,
            "image_token_offset": 101,
            "audio_token_offset": 109,
            "vision_config": {"codebook_size": 8, "base_channels": 32, "embed_dim": 32, "latent_channels": 32},
            "audio_config": {"codebook_size": 8, "hidden_size": 64, "codebook_dim": 64},
        },
        image_token=100,
        discrete=True,
    ),
    "aria": Adapter(
        config={"projector_patch_to_query_dict": {"16": 4}, "max_value_projector_patch_to_query_dict": 4},
        pixels={"pixel_values": (3, 128, 128)},
    ),
    "blip": Adapter(n_image_tokens=0),
    "blip-2": Adapter(config={"image_token_index": 120}),
    "chameleon": Adapter(
        config={
            "vocabulary_map": {"<image>": 100, **{f"IMGIMG{'ABCDEFGH'[i]}Z": 101 + i for i in _CODES}},
            "vq_config": {"num_embeddings": 8, "resolution": 64},
        },
        processor_settings={"size": {"shortest_edge": 64}, "crop_size": _square(64)},
        image_token=100,
        n_image_tokens=16,
    ),
    "cohere_compass": Adapter(
        start={
            "text_config": {
                "num_hidden_layers": 4,
                "layer_types": ["sliding_attention", "full_attention"] * 2,
                "rope_parameters": _BOTH_ROPES,
            }
        }
    ),
    "deepseek_ocr2": Adapter(
        config={
            "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
            "vision_config": {"sam_config": {"downsample_channels": [32, 64], "scale": 64}},
        },
    ),
    "deepseek_vl_hybrid": Adapter(processor_settings={"high_res_size": _square(64)}),
    "diffusion_gemma": Adapter(
        refuse="a block-diffusion model: it denoises a canvas of random tokens with two stacks that share their weights, so "
        "a forward is not the function of its tokens that the checks compare"
    ),
    "dots3_note": Adapter(
        config={
            "vision_config": {"adapter_in_dim": 64, "adapter_out_dim": 64},
            "audio_config": {"adapter_out_dim": 64, "adapter_input_size": 64, "hidden_size": 64},
        },
        processor_settings={"temporal_patch_size": 1},
    ),
    "emu3": Adapter(
        config={
            "vocabulary_map": {
                "<image>": 100,
                "<|extra_200|>": 101,
                **{f"<|visual token {i:06d}|>": 102 + i for i in _MORE_CODES},
            },
            "vq_config": {"codebook_size": 24, "hidden_size": 128},
        },
        pixels={"pixel_values": (3, 64, 64), "image_sizes": lambda rows: torch.tensor([[64, 64]] * rows)},
        image_token=100,
        idle={"model.vqmodel.decoder": "it paints pictures and has no part in reading them"},
        discrete=True,
    ),
    "ernie4_5_vl_moe": Adapter(config=_mrope(3, 3, 2)),
    "fast_vlm": Adapter(
        start={
            "vision_config": {
                "model_type": "timm_wrapper",
                "architecture": "fastvit_mci3",
                "do_pooling": True,
                "global_pool": "avg",
                "hidden_size": 256,
                "model_args": {
                    "inference_mode": True,
                    "layers": [1, 1, 1, 1, 1],
                    "embed_dims": [16, 32, 64, 128, 128],
                },
            }
        },
        config={"vision_config": {"hidden_size": 256}},
        pixels={"pixel_values": (3, 256, 256)},
    ),
    "florence2": Adapter(
        config={
            "vision_config": {
                "embed_dim": [16, 32, 32, 64],
                "depths": [1, 1, 1, 1],
                "num_heads": [1, 2, 2, 4],
                "num_groups": [1, 2, 2, 4],
            }
        },
        processor_settings={"size": _square(64), "crop_size": _square(64)},
    ),
    "fuyu": Adapter(pixels={"pixel_values": (4, 2700)}, n_image_tokens=4),
    "gemma3n": Adapter(
        start={"vision_config": {"architecture": "resnet10t", "hidden_size": 512}},
        vision_unproven="its real vision tower is timm's MobileNet-V5 of 300 M weights, too large to be checked here; the "
        "attention in it is not addressed",
        config={
            "text_config": {
                "num_hidden_layers": 4,
                "num_kv_shared_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"] * 2,
                "intermediate_size": [96] * 4,
                "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
            }
        },
    ),
    "gemma4": Adapter(
        start={"vision_config": {"model_type": "gemma4_vision"}}, processor_settings={"max_soft_tokens": 70}
    ),
    "gemma4_unified": Adapter(
        start={"vision_config": {"model_type": "gemma4_unified_vision"}},
        config={"vision_config": {"output_proj_dims": 64}},
        processor_settings={"max_soft_tokens": 70},
    ),
    "git": Adapter(n_image_tokens=0),
    "glm46v": Adapter(config=_mrope(2, 3, 3)),
    "glm4v": Adapter(config=_mrope(2, 3, 3)),
    "glm4v_moe": Adapter(config=_mrope(1, 1, 2), processor="Glm4vImageProcessor"),
    "glm_ocr": Adapter(config=_mrope(2, 3, 3), processor="Glm4vImageProcessor"),
    "glmga": Adapter(config=_mrope(2, 3, 3)),
    "granite4_vision": Adapter(
        config={
            # One layer of the language model for each projector: of two that write to one, the first would be lost.
            "text_config": {"num_hidden_layers": 5, "layer_types": ["attention"] * 5},
            "deepstack_layer_map": [[-1, 0]],
            "spatial_target_layers": [1, 2, 3, 4],
            "downsample_rate": "1/2",
            "vision_config": {"hidden_size": 128},
            **_LARGER_TILES,
        },
        processor_settings=_LARGER_TILES,
        n_image_tokens=10,
    ),
    "hunyuan_vl": Adapter(config={"text_config": {"head_dim": 24, "rope_parameters": {"mrope_section": [3, 3, 3, 3]}}}),
    "idefics": Adapter(config={"use_resampler": True}, pixels={"pixel_values": (1, 3, 56, 56)}, n_image_tokens=0),
    "idefics2": Adapter(pixels={"pixel_values": (1, 3, 128, 128)}),
    "idefics3": Adapter(pixels={"pixel_values": (1, 3, 128, 128)}),
    "inkling2": Adapter(processor_settings={"size": _square(40)}),
    "inkling2_loop": Adapter(
        config={
            "text_config": {
                "num_hidden_layers": 4,
                "layer_types": ["hybrid_sliding", "hybrid"] * 2,
                "n_layers_per_attn_res_block": 1,
                "loop_layer_index_start": 1,
                "loop_layer_index_end": 3,
            }
        },
        processor_settings={"size": _square(40)},
    ),
    "instructblip": Adapter(config={"image_token_index": 120}),
    "instructblipvideo": Adapter(
        config={"video_token_index": 120}, pixels={"pixel_values": (4, 3, 56, 56)}, n_image_tokens=16, image_token=120
    ),
    "kosmos-2": Adapter(n_image_tokens=4, image_token=50),
    "kosmos-2.5": Adapter(processor_settings={"max_patches": 16}, n_image_tokens=4, image_token=50),
    "llama4": Adapter(
        config={
            "vision_config": {
                "intermediate_size": 256,
                "projector_input_dim": 64,
                "projector_output_dim": 64,
                "vision_output_dim": 64,
            }
        }
    ),
    "llava_next": Adapter(config=_TILES, processor_settings=_TILES),
    "llava_next_video": Adapter(config=_TILES, processor_settings=_TILES),
    "llava_onevision": Adapter(config=_TILES, processor_settings=_TILES),
    "minicpm_ocr": Adapter(
        config={
            "downsample_mode": "16x",
            "image_token_id": 120,
            "video_token_id": 121,
            "insert_layer_id": 0,
        }
    ),
    "minicpmv4_6": Adapter(
        config={
            "image_token_id": 120,
            "video_token_id": 121,
            "insert_layer_id": 0,
        }
    ),
    "minicpmv4_7": Adapter(
        config={
            "image_token_id": 120,
            "video_token_id": 121,
            "insert_layer_id": 0,
        }
    ),
    "mllama": Adapter(config={"vision_config": {"vision_output_dim": 128}}, n_image_tokens=1),
    "molmo2": Adapter(
        config={
            "adapter_config": {"vision_feature_layer": [1, 0]},
            "vision_config": {"image_size": [56, 56], "num_position_embeddings": 16},
        },
        processor_settings={"size": _square(56), "overlap_margins": [1, 1], "max_crops": 2},
    ),
    "muse_glimmer": Adapter(config={"out_hidden_size": 256}),
    "muse_spark": Adapter(
        config={
            "out_hidden_size": 256,
            "audio_config": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "out_hidden_size": 64},
        }
    ),
    "nemotron_h_omni": Adapter(config={"image_token_id": 120, "video_token_id": 121}),
    "paddleocr_vl": Adapter(config=_mrope(4, 4, 4)),
    "perception_lm": Adapter(
        start={
            "vision_config": {
                "model_type": "timm_wrapper",
                "architecture": "vit_pe_lang_large_patch14_448",
                "model_args": {
                    "embed_dim": 64,
                    "img_size": [56, 56],
                    "depth": 2,
                    "num_heads": 4,
                    "global_pool": "",
                    "use_post_transformer_norm": False,
                    "init_values": 0.1,
                    "ref_feat_shape": [4, 4],
                },
            }
        },
        config={"vision_use_cls_token": True},
        pixels={"pixel_values": (1, 3, 56, 56)},
    ),
    "pi0": Adapter(
        refuse="a robot's policy: it maps pictures, text and its state to actions and gives no logits over words to compare"
    ),
    "pix2struct": Adapter(processor_settings={"max_patches": 16}, n_image_tokens=0),
    "pp_formulanet": Adapter(n_image_tokens=0),
    "qwen2_5_omni_thinker": Adapter(config=_mrope(2, 3, 3) | _OMNI, processor="Qwen2VLImageProcessor"),
    "qwen2_5_vl": Adapter(config=_mrope(2, 3, 3)),
    "qwen2_vl": Adapter(config=_mrope(2, 3, 3)),
    "qwen3_omni_moe_thinker": Adapter(config=_mrope(2, 3, 3) | _OMNI, processor="Qwen2VLImageProcessor"),
    "qwen3_vl_moe": Adapter(processor="Qwen2VLImageProcessor"),
    "qwen4_exp": Adapter(
        config={
            "text_config": {
                "indexer_n_heads": 2,
                "indexer_kv_heads": 1,
                "indexer_head_dim": 24,
                "indexer_budget": 64,
                "indexer_compress_ratio": 4,
                "hc_lowrank": 8,
                "ple_embed_dim": 64,
                "ngram_vocab_size_base": 128,
                "split_ngram_parts": 2,
            }
        }
    ),
    "smolvlm": Adapter(pixels={"pixel_values": (1, 3, 128, 128)}),
    "step3p7": Adapter(
        config={
            "text_config": {
                "layer_types": ["full_attention", "sliding_attention"],
                "sliding_window": 8,
                "num_sliding_attention_heads": 6,
                "per_layer_config": {1: {"num_attention_heads": 6}},
                "rope_parameters": _BOTH_ROPES,
            }
        },
        pixels={"pixel_values": (3, 56, 56)},
    ),
    "t5gemma2": Adapter(config={"encoder": {"mm_tokens_per_image": 4}}, processor_settings={"size": _square(64)}),
    "udop": Adapter(pixels={"pixel_values": (3, 64, 64)}, n_image_tokens=0),
    "unlimited_ocr": Adapter(
        config={"vision_config": {"sam_config": {"downsample_channels": [32, 64]}}},
    ),
    "video_llava": Adapter(
        config={"video_token_index": 121},
        pixels={"pixel_values_images": (3, 56, 56), "pixel_values_videos": (8, 3, 56, 56)},
        n_image_tokens=16,
        also=(121, 8 * 17),
    ),
    "vipllava": Adapter(config={"vision_feature_layers": [-2, -1, -2, -1, 1]}),
    "vision-encoder-decoder": Adapter(
        processor="ViTImageProcessor", processor_settings={"size": _square(64)}, n_image_tokens=0
    ),
}
"""What is declared, by family. A family that is not here needs nothing."""
