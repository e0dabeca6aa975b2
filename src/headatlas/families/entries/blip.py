"""BLIP, BLIP-2 and InstructBLIP."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("blip", tiny_model=TinyModel(n_image_tokens=0)),
    Family("blip-2", tiny_model=TinyModel(config={"image_token_index": 120})),
    Family("instructblip", tiny_model=TinyModel(config={"image_token_index": 120})),
    Family(
        "instructblipvideo",
        tiny_model=TinyModel(
            config={"video_token_index": 120},
            pixels={"pixel_values": (4, 3, 56, 56)},
            n_image_tokens=16,
            image_token=120,
        ),
    ),
)
