"""Llama 3.2 Vision (mllama), Llama 4 and Perception LM."""

from headatlas.families.family import Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import canvas_then_whole, cross_tiles
from headatlas.families.parts import square, turns

add(
    Family(
        "llama4",
        image_grid=canvas_then_whole,
        broken={"5.24.0": "its forward asks the language model's output for image_outputs, which it does not have"},
        tiny_model=TinyModel(
            config={
                "vision_config": {
                    "intermediate_size": 256,
                    "projector_input_dim": 64,
                    "projector_output_dim": 64,
                    "vision_output_dim": 64,
                }
            }
        ),
        tiny_processor=TinyProcessor(
            processor="Llama4Processor",
            special_tokens=(
                "<|begin_of_text|>",
                "<|end_of_text|>",
                "<|header_start|>",
                "<|header_end|>",
                "<|eot|>",
                "<|finetune_right_pad|>",
                "<|image|>",
                "<|image_start|>",
                "<|image_end|>",
                "<|patch|>",
                "<|tile_x_separator|>",
                "<|tile_y_separator|>",
            ),
            eos="<|eot|>",
            pad="<|finetune_right_pad|>",
            image_processor="Llama4ImageProcessor",
            bos="<|begin_of_text|>",
            end_tokens=("<|eot|>", "<|end_of_text|>"),
            config_tokens={
                "boi_token_index": "<|image_start|>",
                "eoi_token_index": "<|image_end|>",
                "image_token_index": "<|patch|>",
            },
            image_settings={"size": square(56), "max_patches": 4},
            settings={"patch_size": 14},
            placeholder="<|patch|>",
        ),
    ),
    Family(
        "mllama",
        image_grid=cross_tiles,
        tiny_model=TinyModel(config={"vision_config": {"vision_output_dim": 128}}, n_image_tokens=1),
        tiny_processor=TinyProcessor(
            processor="MllamaProcessor",
            special_tokens=(
                "<|begin_of_text|>",
                "<|end_of_text|>",
                "<|eot_id|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|python_tag|>",
                "<|finetune_right_pad_id|>",
                "<|image|>",
            ),
            eos="<|eot_id|>",
            pad="<|finetune_right_pad_id|>",
            image_processor="MllamaImageProcessor",
            template=turns(
                "<|start_header_id|>user<|end_header_id|>\n\n",
                "<|start_header_id|>assistant<|end_header_id|>\n\n",
                picture="<|image|>",
                opening="<|begin_of_text|>",
                user_end="<|eot_id|>",
                assistant_end="<|eot_id|>",
                trim=True,
            ),
            bos="<|begin_of_text|>",
            end_tokens=("<|eot_id|>", "<|end_of_text|>"),
            config_tokens={"image_token_index": "<|image|>"},
            image_settings={"size": square(56), "max_image_tiles": 4},
        ),
    ),
    Family(
        "perception_lm",
        tiny_model=TinyModel(
            config_arguments={
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
    ),
)
