"""Molmo 2."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

add(
    Family(
        "molmo2",
        tiny_model=TinyModel(
            config={
                "adapter_config": {"vision_feature_layer": [1, 0]},
                "vision_config": {"image_size": [56, 56], "num_position_embeddings": 16},
            },
            image_settings={"size": square(56), "overlap_margins": [1, 1], "max_crops": 2},
        ),
    ),
)
