"""Nemotron-H Omni."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("nemotron_h_omni", tiny_model=TinyModel(config={"image_token_id": 120, "video_token_id": 121})),
)
