"""Fuyu."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("fuyu", tiny_model=TinyModel(pixels={"pixel_values": (4, 2700)}, n_image_tokens=4)),
)
