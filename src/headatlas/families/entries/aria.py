"""Aria."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family(
        "aria",
        tiny_model=TinyModel(
            config={"projector_patch_to_query_dict": {"16": 4}, "max_value_projector_patch_to_query_dict": 4},
            pixels={"pixel_values": (3, 128, 128)},
        ),
    ),
)
