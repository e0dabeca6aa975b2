"""Families that read documents: Pix2Struct, PP-FormulaNet, PaddleOCR-VL and UDOP."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import mrope

add(
    Family("paddleocr_vl", tiny_model=TinyModel(config=mrope(4, 4, 4))),
    Family("pix2struct", tiny_model=TinyModel(image_settings={"max_patches": 16}, n_image_tokens=0)),
    Family("pp_formulanet", tiny_model=TinyModel(n_image_tokens=0)),
    Family("udop", tiny_model=TinyModel(pixels={"pixel_values": (3, 64, 64)}, n_image_tokens=0)),
)
