"""ERNIE 4.5 VL."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import mrope

add(
    Family("ernie4_5_vl_moe", tiny_model=TinyModel(config=mrope(3, 3, 2))),
)
