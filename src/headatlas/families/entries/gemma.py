"""Gemma 3, 3n and 4, T5Gemma 2 and PaliGemma."""

from headatlas.families.family import ChatFormat, Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import one_square
from headatlas.families.parts import square, turns

# PaliGemma has no roles: every request ends in a line break and every answer in the end-of-text token.
_REQUESTS = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else '\\n' }}{% if message['role'] == 'assistant' %}{{ '\\n' }}{% endif %}"
    "{% endfor %}"
)

add(
    Family(
        "diffusion_gemma",
        tiny_model=TinyModel(
            refused="a block-diffusion model: it denoises a canvas of random tokens with two stacks that share their weights, so "
            "a forward is not the function of its tokens that the checks compare"
        ),
    ),
    Family(
        "gemma3n",
        tiny_model=TinyModel(
            config_arguments={"vision_config": {"architecture": "resnet10t", "hidden_size": 512}},
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
    ),
    Family(
        "gemma4",
        tiny_model=TinyModel(
            config_arguments={"vision_config": {"model_type": "gemma4_vision"}}, image_settings={"max_soft_tokens": 70}
        ),
    ),
    Family(
        "gemma4_unified",
        tiny_model=TinyModel(
            config_arguments={"vision_config": {"model_type": "gemma4_unified_vision"}},
            config={"vision_config": {"output_proj_dims": 64}},
            image_settings={"max_soft_tokens": 70},
        ),
    ),
    Family(
        "t5gemma2",
        tiny_model=TinyModel(config={"encoder": {"mm_tokens_per_image": 4}}, image_settings={"size": square(64)}),
    ),
    Family(
        "gemma3",
        image_grid=one_square,
        tiny_processor=TinyProcessor(
            processor="Gemma3Processor",
            special_tokens=(
                "<pad>",
                "<eos>",
                "<bos>",
                "<unk>",
                "<start_of_turn>",
                "<end_of_turn>",
                "<start_of_image>",
                "<end_of_image>",
                "<image_soft_token>",
            ),
            eos="<eos>",
            pad="<pad>",
            image_processor="Gemma3ImageProcessor",
            template=turns(
                "<start_of_turn>user\n",
                "<start_of_turn>model\n",
                picture="<start_of_image>",
                opening="<bos>",
                user_end="<end_of_turn>\n",
                assistant_end="<end_of_turn>\n",
                trim=True,
            ),
            bos="<bos>",
            end_tokens=("<eos>", "<end_of_turn>"),
            sentencepiece=True,
            named_tokens={
                "boi_token": "<start_of_image>",
                "eoi_token": "<end_of_image>",
                "image_token": "<image_soft_token>",
            },
            config_tokens={
                "boi_token_index": "<start_of_image>",
                "eoi_token_index": "<end_of_image>",
                "image_token_index": "<image_soft_token>",
            },
            image_settings={"size": square(64)},
            settings={"image_seq_length": 4},
            placeholder="<image_soft_token>",
        ),
    ),
    Family(
        "paligemma",
        image_grid=one_square,
        chat=ChatFormat(template=_REQUESTS, appended="\n", two_way_prefix=True),
        tiny_processor=TinyProcessor(
            processor="PaliGemmaProcessor",
            special_tokens=("<pad>", "<eos>", "<bos>", "<unk>", "<image>"),
            eos="<eos>",
            pad="<pad>",
            image_processor="SiglipImageProcessor",
            bos="<bos>",
            sentencepiece=True,
            named_tokens={"image_token": "<image>"},
            config_tokens={"image_token_index": "<image>"},
            image_settings={"size": square(56), "image_seq_length": 16},
            placeholder="<image>",
        ),
    ),
)
