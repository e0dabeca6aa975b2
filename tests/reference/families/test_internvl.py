from PIL import Image

from headatlas.reference.build import build_tokenizer
from headatlas.reference.families import FAMILIES

from .conftest import tiny


def test_a_picture_is_one_tile_whatever_its_size():
    internvl = FAMILIES["internvl"]
    processor = internvl.processor(build_tokenizer((), internvl.form), tiny(internvl))
    for size in ((384, 384), (900, 300)):
        made = processor(text="<IMG_CONTEXT>", images=[Image.new("RGB", size)], return_tensors="pt")
        assert made["pixel_values"].shape == (1, 3, 144, 144)
        assert int((made["input_ids"] == processor.image_token_id).sum()) == 36
