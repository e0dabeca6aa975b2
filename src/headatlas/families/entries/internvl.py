"""InternVL."""

from headatlas.families.family import Family, TinyProcessor, add
from headatlas.families.image_grid import tiles_then_thumbnail
from headatlas.families.parts import CHATML, CHATML_TOKENS, square, turns

add(
    Family(
        "internvl",
        image_grid=tiles_then_thumbnail,
        tiny_processor=TinyProcessor(
            processor="InternVLProcessor",
            special_tokens=(*CHATML_TOKENS, "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
            eos="<|im_end|>",
            pad="<|endoftext|>",
            image_processor="GotOcr2ImageProcessor",
            template=turns(**CHATML, picture="<IMG_CONTEXT>\n"),
            config_tokens={"image_token_id": "<IMG_CONTEXT>"},
            named_tokens={
                "start_image_token": "<img>",
                "end_image_token": "</img>",
                "context_image_token": "<IMG_CONTEXT>",
                "video_token": "<video>",
            },
            video_processor="InternVLVideoProcessor",
            image_settings={"size": square(56), "max_patches": 4},
            settings={"image_seq_length": 4},
            config={"image_seq_length": 4, "vision_config": {"image_size": [56, 56]}},
            placeholder="<IMG_CONTEXT>",
        ),
    ),
)
