"""GIT."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("git", tiny_model=TinyModel(n_image_tokens=0)),
)
