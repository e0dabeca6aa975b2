"""MiniCPM-V and MiniCPM-OCR."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family(
        "minicpm_ocr",
        tiny_model=TinyModel(
            config={
                "downsample_mode": "16x",
                "image_token_id": 120,
                "video_token_id": 121,
                "insert_layer_id": 0,
            }
        ),
    ),
    Family(
        "minicpmv4_6",
        tiny_model=TinyModel(
            config={
                "image_token_id": 120,
                "video_token_id": 121,
                "insert_layer_id": 0,
            }
        ),
    ),
    Family(
        "minicpmv4_7",
        tiny_model=TinyModel(
            config={
                "image_token_id": 120,
                "video_token_id": 121,
                "insert_layer_id": 0,
            }
        ),
    ),
)
