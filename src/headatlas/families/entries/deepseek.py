"""DeepSeek-OCR, DeepSeek-VL and their relatives."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

add(
    Family(
        "deepseek_ocr2",
        tiny_model=TinyModel(
            config={
                "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
                "vision_config": {"sam_config": {"downsample_channels": [32, 64], "scale": 64}},
            }
        ),
    ),
    Family("deepseek_vl_hybrid", tiny_model=TinyModel(image_settings={"high_res_size": square(64)})),
    Family(
        "unlimited_ocr",
        tiny_model=TinyModel(config={"vision_config": {"sam_config": {"downsample_channels": [32, 64]}}}),
    ),
)
