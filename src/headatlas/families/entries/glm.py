"""GLM-4V and GLM-OCR."""

from headatlas.families.family import Family, TinyModel, TinyProcessor, add
from headatlas.families.image_grid import merged_patches
from headatlas.families.parts import area, mrope, turns

add(
    Family("glm46v", tiny_model=TinyModel(config=mrope(2, 3, 3))),
    Family(
        "glm4v",
        image_grid=merged_patches,
        tiny_model=TinyModel(config=mrope(2, 3, 3)),
        tiny_processor=TinyProcessor(
            processor="Glm4vProcessor",
            special_tokens=(
                "<|endoftext|>",
                "[gMASK]",
                "<sop>",
                "<|system|>",
                "<|user|>",
                "<|assistant|>",
                "<|observation|>",
                "<|image|>",
                "<|video|>",
                "<|begin_of_image|>",
                "<|end_of_image|>",
                "<|begin_of_video|>",
                "<|end_of_video|>",
            ),
            eos="<|endoftext|>",
            pad="<|endoftext|>",
            image_processor="Glm4vImageProcessor",
            template=turns(
                "<|user|>\n",
                "<|assistant|>\n",
                picture="<|begin_of_image|><|image|><|end_of_image|>",
                opening="[gMASK]<sop>",
            ),
            end_tokens=("<|endoftext|>", "<|user|>", "<|observation|>"),
            config_tokens={
                "image_token_id": "<|image|>",
                "video_token_id": "<|video|>",
                "image_start_token_id": "<|begin_of_image|>",
                "image_end_token_id": "<|end_of_image|>",
                "video_start_token_id": "<|begin_of_video|>",
                "video_end_token_id": "<|end_of_video|>",
            },
            video_processor="Glm4vVideoProcessor",
            image_settings={"size": area(28), "patch_size": 14, "merge_size": 2},
            placeholder="<|image|>",
        ),
    ),
    Family("glm4v_moe", tiny_model=TinyModel(config=mrope(1, 1, 2), image_processor="Glm4vImageProcessor")),
    Family("glm_ocr", tiny_model=TinyModel(config=mrope(2, 3, 3), image_processor="Glm4vImageProcessor")),
    Family("glmga", tiny_model=TinyModel(config=mrope(2, 3, 3))),
)
