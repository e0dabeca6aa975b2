"""Qwen2-VL to Qwen4, and the Omni thinkers."""

from headatlas.families.family import Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import merged_patches
from headatlas.families.parts import CHATML, CHATML_TOKENS, area, mrope, turns

_OMNI = {
    "vision_start_token_id": 110,
    "vision_end_token_id": 111,
    "audio_start_token_id": 112,
    "audio_end_token_id": 113,
}
_QWEN = (*CHATML_TOKENS, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
_QWEN_IDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
# Qwen3.5 begins an answer with a thought. It is empty if thinking is off, and left out of all turns but the last.
_THINKING = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' and loop.index0 > ns.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    f"{{% for part in m['content'] %}}{{{{ '{_QWEN_PICTURE}' if part['type'] == 'image' else part['text'] | trim }}}}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)

add(
    Family(
        "qwen2_5_omni_thinker",
        tiny_model=TinyModel(config=mrope(2, 3, 3) | _OMNI, image_processor="Qwen2VLImageProcessor"),
    ),
    Family(
        "qwen2_5_vl",
        image_grid=merged_patches,
        tiny_model=TinyModel(config=mrope(2, 3, 3)),
        tiny_processor=TinyProcessor(
            processor="Qwen2_5_VLProcessor",
            special_tokens=_QWEN,
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="Qwen2VLImageProcessor",
            template=turns(**CHATML, picture=_QWEN_PICTURE, opening=_SYSTEM),
            end_tokens=("<|im_end|>", "<|endoftext|>"),
            config_tokens=_QWEN_IDS,
            video_processor="Qwen2VLVideoProcessor",
            image_settings={"size": area(28), "patch_size": 14, "merge_size": 2},
            placeholder="<|image_pad|>",
        ),
    ),
    Family(
        "qwen2_vl",
        image_grid=merged_patches,
        tiny_model=TinyModel(config=mrope(2, 3, 3)),
        tiny_processor=TinyProcessor(
            processor="Qwen2VLProcessor",
            special_tokens=_QWEN,
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="Qwen2VLImageProcessor",
            template=turns(**CHATML, picture=_QWEN_PICTURE, opening=_SYSTEM),
            end_tokens=("<|im_end|>", "<|endoftext|>"),
            config_tokens=_QWEN_IDS,
            video_processor="Qwen2VLVideoProcessor",
            image_settings={"size": area(28), "patch_size": 14, "merge_size": 2},
            placeholder="<|image_pad|>",
        ),
    ),
    Family(
        "qwen3_omni_moe_thinker",
        tiny_model=TinyModel(config=mrope(2, 3, 3) | _OMNI, image_processor="Qwen2VLImageProcessor"),
    ),
    Family("qwen3_vl_moe", tiny_model=TinyModel(image_processor="Qwen2VLImageProcessor")),
    Family(
        "qwen4_exp",
        tiny_model=TinyModel(
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
    ),
    Family(
        "qwen3_vl",
        image_grid=merged_patches,
        tiny_processor=TinyProcessor(
            processor="Qwen3VLProcessor",
            special_tokens=_QWEN,
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="Qwen2VLImageProcessor",
            template=turns(**CHATML, picture=_QWEN_PICTURE),
            end_tokens=("<|im_end|>", "<|endoftext|>"),
            config_tokens=_QWEN_IDS,
            video_processor="Qwen3VLVideoProcessor",
            image_settings={"size": area(32), "patch_size": 16, "merge_size": 2},
            placeholder="<|image_pad|>",
        ),
    ),
    Family(
        "qwen3_5",
        image_grid=merged_patches,
        tiny_processor=TinyProcessor(
            processor="Qwen3VLProcessor",
            special_tokens=_QWEN,
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="Qwen2VLImageProcessor",
            template=_THINKING,
            end_tokens=("<|im_end|>", "<|endoftext|>"),
            added_tokens=("<think>", "</think>"),
            config_tokens=_QWEN_IDS,
            video_processor="Qwen3VLVideoProcessor",
            image_settings={"size": area(32), "patch_size": 16, "merge_size": 2},
            placeholder="<|image_pad|>",
            config={"text_config": {"num_hidden_layers": 4, "layer_types": ["linear_attention", "full_attention"] * 2}},
        ),
    ),
)
