"""LLaVA and the families built after it."""

from headatlas.families.family import Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import one_square, whole_then_unpadded
from headatlas.families.parts import CHATML_TOKENS, square, turns

# LLaVA-OneVision writes a blank after the role of an earlier turn, and none where the model's answer begins.
_ONEVISION = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' }}"
    "{% for part in m['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in m['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_TILES = {"image_grid_pinpoints": [[56, 112], [112, 56]]}
_PROCESSOR_TILES = [[56, 112], [112, 56], [112, 112]]

add(
    Family(
        "fast_vlm",
        tiny_model=TinyModel(
            config_arguments={
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
    ),
    Family(
        "llava_next",
        image_grid=whole_then_unpadded,
        tiny_model=TinyModel(config=_TILES, image_settings=_TILES),
        tiny_processor=TinyProcessor(
            processor="LlavaNextProcessor",
            special_tokens=("<unk>", "<s>", "</s>", "<image>", "<pad>"),
            eos="</s>",
            pad="<pad>",
            image_processor="LlavaNextImageProcessor",
            template=turns("[INST] ", " ", picture="<image>\n", user_end=" [/INST]", assistant_end="</s> ").replace(
                "{% if add_generation_prompt %}{{ ' ' }}", "{% if add_generation_prompt %}{{ '' }}"
            ),
            bos="<s>",
            sentencepiece=True,
            config_tokens={"image_token_index": "<image>"},
            image_settings={
                "size": {"shortest_edge": 56},
                "crop_size": square(56),
                "image_grid_pinpoints": _PROCESSOR_TILES,
            },
            settings={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
            config={"image_grid_pinpoints": _PROCESSOR_TILES},
            placeholder="<image>",
        ),
    ),
    Family("llava_next_video", tiny_model=TinyModel(config=_TILES, image_settings=_TILES)),
    Family(
        "llava_onevision",
        image_grid=whole_then_unpadded,
        tiny_model=TinyModel(config=_TILES, image_settings=_TILES),
        tiny_processor=TinyProcessor(
            processor="LlavaOnevisionProcessor",
            special_tokens=(*CHATML_TOKENS, "<image>", "<video>"),
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="LlavaOnevisionImageProcessor",
            template=_ONEVISION,
            config_tokens={"image_token_index": "<image>", "video_token_index": "<video>"},
            video_processor="LlavaOnevisionVideoProcessor",
            image_settings={"size": square(56), "image_grid_pinpoints": _PROCESSOR_TILES},
            settings={
                "num_image_tokens": 16,
                "vision_feature_select_strategy": "full",
                "vision_aspect_ratio": "anyres_max_9",
            },
            config={"image_grid_pinpoints": _PROCESSOR_TILES},
            placeholder="<image>",
        ),
    ),
    Family(
        "video_llava",
        tiny_model=TinyModel(
            config={"video_token_index": 121},
            pixels={"pixel_values_images": (3, 56, 56), "pixel_values_videos": (8, 3, 56, 56)},
            n_image_tokens=16,
            extra_tokens=(121, 8 * 17),
        ),
    ),
    Family("vipllava", tiny_model=TinyModel(config={"vision_feature_layers": [-2, -1, -2, -1, 1]})),
    Family(
        "llava",
        image_grid=one_square,
        tiny_processor=TinyProcessor(
            processor="LlavaProcessor",
            special_tokens=("<unk>", "<s>", "</s>", "<image>", "<pad>"),
            eos="</s>",
            pad="<pad>",
            image_processor="CLIPImageProcessor",
            template=turns("USER: ", "ASSISTANT: ", picture="<image>\n", user_end=" ", assistant_end=" ").replace(
                "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}", "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}"
            ),
            bos="<s>",
            sentencepiece=True,
            config_tokens={"image_token_index": "<image>"},
            image_settings={"size": {"shortest_edge": 56}, "crop_size": square(56)},
            settings={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
            placeholder="<image>",
        ),
    ),
)
