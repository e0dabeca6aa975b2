"""A vision encoder with a text decoder."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

add(
    Family(
        "vision-encoder-decoder",
        tiny_model=TinyModel(
            image_processor="ViTImageProcessor", image_settings={"size": square(64)}, n_image_tokens=0
        ),
    ),
)
