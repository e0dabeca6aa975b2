"""The families people use, each with its own processor class: their special tokens, chat forms and small picture sizes.

Data only. The forms are those of the published checkpoints, written anew; what a checkpoint adds for tools, videos or system
messages is left out, the default system message of Qwen2-VL is not.
"""

from typing import Any

from headatlas.families.proof.real.entry import Real, turns

_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_QWEN = (*_IM, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_QWEN_IDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_CHATML: dict[str, Any] = {
    "user": "<|im_start|>user\n",
    "assistant": "<|im_start|>assistant\n",
    "user_end": "<|im_end|>\n",
    "assistant_end": "<|im_end|>\n",
}
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def _area(side: int) -> dict[str, int]:
    """Pictures of 4 to 64 tokens, each `side` pixels wide and high."""
    return {"shortest_edge": 4 * side**2, "longest_edge": 64 * side**2}


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


# Qwen3.5 opens an answer with a thought, which is empty if none is wanted and is dropped once the turn is history.
_THINKING = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' and loop.index0 > ns.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    f"{{% for part in m['content'] %}}{{{{ '{_QWEN_PICTURE}' if part['type'] == 'image' else part['text'] | trim }}}}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
# LLaVA-OneVision puts a blank behind the role, and none where the model is to answer.
_ONEVISION = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' }}"
    "{% for part in m['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in m['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# SmolVLM and Idefics3 put no blank between "User:" and a picture.
_UTTERANCES = (
    "{% for m in messages %}{{ m['role'] | capitalize + (':' if m['content'][0]['type'] == 'image' else ': ') }}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '<end_of_utterance>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_TILES = [[56, 112], [112, 56], [112, 112]]
_CELLS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
_IDEFICS = {
    "ids": {"image_token_id": "<image>"},
    "image_settings": {"size": {"longest_edge": 256}, "max_image_size": {"longest_edge": 128}},
    "settings": {"image_seq_len": 4},
    "placeholder": "<image>",
}
_MISTRAL = ("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")

_ENTRIES = (
    Real(
        "qwen2_vl", "Qwen2VLProcessor", _QWEN, "<|im_end|>", "<|endoftext|>", "Qwen2VLImageProcessor",
        turns(**_CHATML, picture=_QWEN_PICTURE, opening=_SYSTEM), ends=("<|im_end|>", "<|endoftext|>"), ids=_QWEN_IDS,
        videos="Qwen2VLVideoProcessor", image_settings={"size": _area(28), "patch_size": 14, "merge_size": 2},
        placeholder="<|image_pad|>",
    ),
    Real(
        "qwen2_5_vl", "Qwen2_5_VLProcessor", _QWEN, "<|im_end|>", "<|endoftext|>", "Qwen2VLImageProcessor",
        turns(**_CHATML, picture=_QWEN_PICTURE, opening=_SYSTEM), ends=("<|im_end|>", "<|endoftext|>"), ids=_QWEN_IDS,
        videos="Qwen2VLVideoProcessor", image_settings={"size": _area(28), "patch_size": 14, "merge_size": 2},
        placeholder="<|image_pad|>",
    ),
    Real(
        "qwen3_vl", "Qwen3VLProcessor", _QWEN, "<|im_end|>", "<|endoftext|>", "Qwen2VLImageProcessor",
        turns(**_CHATML, picture=_QWEN_PICTURE), ends=("<|im_end|>", "<|endoftext|>"), ids=_QWEN_IDS,
        videos="Qwen3VLVideoProcessor", image_settings={"size": _area(32), "patch_size": 16, "merge_size": 2},
        placeholder="<|image_pad|>",
    ),
    Real(
        "qwen3_5", "Qwen3VLProcessor", _QWEN, "<|im_end|>", "<|endoftext|>", "Qwen2VLImageProcessor", _THINKING,
        ends=("<|im_end|>", "<|endoftext|>"), words=("<think>", "</think>"), ids=_QWEN_IDS, videos="Qwen3VLVideoProcessor",
        image_settings={"size": _area(32), "patch_size": 16, "merge_size": 2}, placeholder="<|image_pad|>",
        # Two layers with heads: what the last layer does at the image's positions reaches no answer.
        config={"text_config": {"num_hidden_layers": 4, "layer_types": ["linear_attention", "full_attention"] * 2}},
    ),
    Real(
        "internvl", "InternVLProcessor", (*_IM, "<img>", "</img>", "<IMG_CONTEXT>", "<video>"), "<|im_end|>", "<|endoftext|>",
        "GotOcr2ImageProcessor", turns(**_CHATML, picture="<IMG_CONTEXT>\n"), ids={"image_token_id": "<IMG_CONTEXT>"},
        named={
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        videos="InternVLVideoProcessor", image_settings={"size": _square(56), "max_patches": 4},
        settings={"image_seq_length": 4}, config={"image_seq_length": 4, "vision_config": {"image_size": [56, 56]}},
        placeholder="<IMG_CONTEXT>",
    ),
    Real(
        "mllama", "MllamaProcessor",
        (
            "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>",
            "<|finetune_right_pad_id|>", "<|image|>",
        ),
        "<|eot_id|>", "<|finetune_right_pad_id|>", "MllamaImageProcessor",
        turns(
            "<|start_header_id|>user<|end_header_id|>\n\n", "<|start_header_id|>assistant<|end_header_id|>\n\n",
            picture="<|image|>", opening="<|begin_of_text|>", user_end="<|eot_id|>", assistant_end="<|eot_id|>", trim=True,
        ),
        bos="<|begin_of_text|>", ends=("<|eot_id|>", "<|end_of_text|>"), ids={"image_token_index": "<|image|>"},
        image_settings={"size": _square(56), "max_image_tiles": 4},
    ),
    Real(
        "llava", "LlavaProcessor", ("<unk>", "<s>", "</s>", "<image>", "<pad>"), "</s>", "<pad>", "CLIPImageProcessor",
        turns("USER: ", "ASSISTANT: ", picture="<image>\n", user_end=" ", assistant_end=" ").replace(
            "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}", "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}"
        ),
        bos="<s>", pieces=True, ids={"image_token_index": "<image>"},
        image_settings={"size": {"shortest_edge": 56}, "crop_size": _square(56)},
        settings={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        placeholder="<image>",
    ),
    Real(
        "llava_next", "LlavaNextProcessor", ("<unk>", "<s>", "</s>", "<image>", "<pad>"), "</s>", "<pad>",
        "LlavaNextImageProcessor",
        turns("[INST] ", " ", picture="<image>\n", user_end=" [/INST]", assistant_end="</s> ").replace(
            "{% if add_generation_prompt %}{{ ' ' }}", "{% if add_generation_prompt %}{{ '' }}"
        ),
        bos="<s>", pieces=True, ids={"image_token_index": "<image>"},
        image_settings={
            "size": {"shortest_edge": 56}, "crop_size": _square(56), "image_grid_pinpoints": _TILES,
        },
        settings={"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        config={"image_grid_pinpoints": _TILES}, placeholder="<image>",
    ),
    Real(
        "llava_onevision", "LlavaOnevisionProcessor", (*_IM, "<image>", "<video>"), "<|im_end|>", "<|endoftext|>",
        "LlavaOnevisionImageProcessor", _ONEVISION,
        ids={"image_token_index": "<image>", "video_token_index": "<video>"}, videos="LlavaOnevisionVideoProcessor",
        image_settings={"size": _square(56), "image_grid_pinpoints": _TILES},
        settings={"num_image_tokens": 16, "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9"},
        config={"image_grid_pinpoints": _TILES}, placeholder="<image>",
    ),
    Real(
        "gemma3", "Gemma3Processor",
        (
            "<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>",
            "<image_soft_token>",
        ),
        "<eos>", "<pad>", "Gemma3ImageProcessor",
        turns(
            "<start_of_turn>user\n", "<start_of_turn>model\n", picture="<start_of_image>", opening="<bos>",
            user_end="<end_of_turn>\n", assistant_end="<end_of_turn>\n", trim=True,
        ),
        bos="<bos>", ends=("<eos>", "<end_of_turn>"), pieces=True,
        named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        ids={
            "boi_token_index": "<start_of_image>", "eoi_token_index": "<end_of_image>", "image_token_index": "<image_soft_token>"
        },
        image_settings={"size": _square(64)}, settings={"image_seq_length": 4}, placeholder="<image_soft_token>",
    ),
    Real(
        "smolvlm", "SmolVLMProcessor",
        (
            "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>",
            "<global-img>", *_CELLS,
        ),
        "<end_of_utterance>", "<|im_end|>", "SmolVLMImageProcessor", "<|im_start|>" + _UTTERANCES, bos="<|im_start|>",
        videos="SmolVLMVideoProcessor", **_IDEFICS,
    ),
    Real(
        "idefics3", "Idefics3Processor",
        (
            "<|begin_of_text|>", "<|end_of_text|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>",
            *_CELLS,
        ),
        "<|end_of_text|>", "<|end_of_text|>", "Idefics3ImageProcessor", "<|begin_of_text|>" + _UTTERANCES,
        bos="<|begin_of_text|>", ends=("<end_of_utterance>", "<|end_of_text|>"), **_IDEFICS,
    ),
    Real(
        "paligemma", "PaliGemmaProcessor", ("<pad>", "<eos>", "<bos>", "<unk>", "<image>"), "<eos>", "<pad>",
        "SiglipImageProcessor", bos="<bos>", pieces=True, named={"image_token": "<image>"},
        ids={"image_token_index": "<image>"}, image_settings={"size": _square(56), "image_seq_length": 16},
        placeholder="<image>",
    ),
    Real(
        "mistral3", "PixtralProcessor", (*_MISTRAL, "[IMG]", "[IMG_BREAK]", "[IMG_END]"), "</s>", "<pad>",
        "PixtralImageProcessor",
        turns(
            "[INST]", "", picture="[IMG]", user_end="[/INST]", assistant_end="</s>",
            opening="<s>[SYSTEM_PROMPT]You answer briefly.[/SYSTEM_PROMPT]",
        ),
        bos="<s>", ids={"image_token_index": "[IMG]"},
        image_settings={"size": {"longest_edge": 196}, "patch_size": _square(14)},
        settings={"patch_size": 14, "spatial_merge_size": 2},
        config={"spatial_merge_size": 2, "vision_config": {"image_size": 224}}, placeholder="[IMG]",
    ),
    Real(
        "glm4v", "Glm4vProcessor",
        (
            "<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|image|>",
            "<|video|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
        ),
        "<|endoftext|>", "<|endoftext|>", "Glm4vImageProcessor",
        turns(
            "<|user|>\n", "<|assistant|>\n", picture="<|begin_of_image|><|image|><|end_of_image|>", opening="[gMASK]<sop>",
        ),
        ends=("<|endoftext|>", "<|user|>", "<|observation|>"),
        ids={
            "image_token_id": "<|image|>", "video_token_id": "<|video|>", "image_start_token_id": "<|begin_of_image|>",
            "image_end_token_id": "<|end_of_image|>", "video_start_token_id": "<|begin_of_video|>",
            "video_end_token_id": "<|end_of_video|>",
        },
        videos="Glm4vVideoProcessor", image_settings={"size": _area(28), "patch_size": 14, "merge_size": 2},
        placeholder="<|image|>",
    ),
    Real(
        "llama4", "Llama4Processor",
        (
            "<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|finetune_right_pad|>",
            "<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>",
        ),
        "<|eot|>", "<|finetune_right_pad|>", "Llama4ImageProcessor", bos="<|begin_of_text|>",
        ends=("<|eot|>", "<|end_of_text|>"),
        ids={"boi_token_index": "<|image_start|>", "eoi_token_index": "<|image_end|>", "image_token_index": "<|patch|>"},
        image_settings={"size": _square(56), "max_patches": 4}, settings={"patch_size": 14}, placeholder="<|patch|>",
    ),
)  # fmt: skip

REAL: dict[str, Real] = {entry.family: entry for entry in _ENTRIES}
"""The entries by model type."""
