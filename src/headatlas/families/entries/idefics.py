"""Idefics and SmolVLM."""

from typing import Any

from headatlas.families.family import Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import split_then_whole

_CELLS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
# SmolVLM and Idefics3 write no blank between "User:" and a picture.
_UTTERANCES = (
    "{% for m in messages %}{{ m['role'] | capitalize + (':' if m['content'][0]['type'] == 'image' else ': ') }}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '<end_of_utterance>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_IDEFICS: dict[str, Any] = {
    "config_tokens": {"image_token_id": "<image>"},
    "image_settings": {"size": {"longest_edge": 256}, "max_image_size": {"longest_edge": 128}},
    "settings": {"image_seq_len": 4},
    "placeholder": "<image>",
}

add(
    Family(
        "idefics",
        tiny_model=TinyModel(config={"use_resampler": True}, pixels={"pixel_values": (1, 3, 56, 56)}, n_image_tokens=0),
    ),
    Family("idefics2", tiny_model=TinyModel(pixels={"pixel_values": (1, 3, 128, 128)})),
    Family(
        "idefics3",
        image_grid=split_then_whole,
        tiny_model=TinyModel(pixels={"pixel_values": (1, 3, 128, 128)}),
        tiny_processor=TinyProcessor(
            processor="Idefics3Processor",
            special_tokens=(
                "<|begin_of_text|>",
                "<|end_of_text|>",
                "<fake_token_around_image>",
                "<image>",
                "<end_of_utterance>",
                "<global-img>",
                *_CELLS,
            ),
            eos="<|end_of_text|>",
            pad="<|end_of_text|>",
            image_processor="Idefics3ImageProcessor",
            template="<|begin_of_text|>" + _UTTERANCES,
            bos="<|begin_of_text|>",
            end_tokens=("<end_of_utterance>", "<|end_of_text|>"),
            **_IDEFICS,
        ),
    ),
    Family(
        "smolvlm",
        image_grid=split_then_whole,
        tiny_model=TinyModel(pixels={"pixel_values": (1, 3, 128, 128)}),
        tiny_processor=TinyProcessor(
            processor="SmolVLMProcessor",
            special_tokens=(
                "<|endoftext|>",
                "<|im_start|>",
                "<|im_end|>",
                "<fake_token_around_image>",
                "<image>",
                "<end_of_utterance>",
                "<global-img>",
                *_CELLS,
            ),
            eos="<end_of_utterance>",
            pad="<|im_end|>",
            image_processor="SmolVLMImageProcessor",
            template="<|im_start|>" + _UTTERANCES,
            bos="<|im_start|>",
            video_processor="SmolVLMVideoProcessor",
            **_IDEFICS,
        ),
    ),
)
