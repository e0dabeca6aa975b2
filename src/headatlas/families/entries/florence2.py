"""Florence-2."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

add(
    Family(
        "florence2",
        tiny_model=TinyModel(
            config={
                "vision_config": {
                    "embed_dim": [16, 32, 32, 64],
                    "depths": [1, 1, 1, 1],
                    "num_heads": [1, 2, 2, 4],
                    "num_groups": [1, 2, 2, 4],
                }
            },
            image_settings={"size": square(64), "crop_size": square(64)},
        ),
    ),
)
