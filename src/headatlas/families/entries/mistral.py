"""Mistral 3 (Pixtral processor)."""

from headatlas.families.family import Family, TinyProcessor, add
from headatlas.families.image_grid import pixtral
from headatlas.families.parts import square, turns

_MISTRAL = ("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")

add(
    Family(
        "mistral3",
        image_grid=pixtral,
        tiny_processor=TinyProcessor(
            processor="PixtralProcessor",
            special_tokens=(*_MISTRAL, "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
            eos="</s>",
            pad="<pad>",
            image_processor="PixtralImageProcessor",
            template=turns(
                "[INST]",
                "",
                picture="[IMG]",
                user_end="[/INST]",
                assistant_end="</s>",
                opening="<s>[SYSTEM_PROMPT]You answer briefly.[/SYSTEM_PROMPT]",
            ),
            bos="<s>",
            config_tokens={"image_token_index": "[IMG]"},
            image_settings={"size": {"longest_edge": 196}, "patch_size": square(14)},
            settings={"patch_size": 14, "spatial_merge_size": 2},
            config={"spatial_merge_size": 2, "vision_config": {"image_size": 224}},
            placeholder="[IMG]",
        ),
    ),
)
