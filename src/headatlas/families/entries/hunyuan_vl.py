"""Hunyuan-VL."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family(
        "hunyuan_vl",
        tiny_model=TinyModel(
            config={"text_config": {"head_dim": 24, "rope_parameters": {"mrope_section": [3, 3, 3, 3]}}}
        ),
    ),
)
