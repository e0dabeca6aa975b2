"""Kosmos-2 and 2.5."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("kosmos-2", tiny_model=TinyModel(n_image_tokens=4, image_token=50)),
    Family("kosmos-2.5", tiny_model=TinyModel(image_settings={"max_patches": 16}, n_image_tokens=4, image_token=50)),
)
