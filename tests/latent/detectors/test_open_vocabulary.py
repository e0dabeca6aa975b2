"""OWLv2 and Grounding DINO: transformers' own classes with tiny random weights.

The last layer of OWLv2's box head is zeroed: it then predicts exactly its grid of patches, so that where boxes must lie in the
picture is known.
"""

import json

import pytest
import torch
from PIL import Image, ImageDraw

from headatlas.cogvsr.schema import Box, Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.latent import get_detector
from headatlas.latent.detectors.base import DETECTORS
from headatlas.latent.detectors.open_vocabulary import inside, nearest

WORDS = ("red car", "blue arrow")
GRID = 4
"""OWLv2's patches along each side of the padded square."""


def picture():
    """60 x 40 pixels, with a red rectangle at the left and a blue one at the right."""
    image = Image.new("RGB", (60, 40), "white")
    ImageDraw.Draw(image).rectangle((6, 4, 17, 19), fill="red")
    ImageDraw.Draw(image).rectangle((40, 20, 55, 35), fill="blue")
    return image


def lying():
    """The same picture, stored lying on its side with the EXIF orientation 6."""
    stored = picture().transpose(Image.Transpose.ROTATE_90)
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.info["exif"] = exif.tobytes()
    return stored


def asked(image):
    step = Step(text="So?", answer="yes", answer_type="yes_no", functions=("spatial_perception",))
    return Question(
        id="q1", source="t", split="E", text="Is the red car left of the blue arrow?", answer="yes", answer_type="yes_no",
        steps=(step,), images=(image,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def owlv2(tmp_path_factory):
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    folder = tmp_path_factory.mktemp("owlv2")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}  # a text that begins with 0 is masked
    vocabulary |= {c: 3 + i for i, c in enumerate(letters)} | {f"{c}</w>": 40 + i for i, c in enumerate(letters)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="!")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 80, "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = Owlv2Config(
        text_config=sizes | text, vision_config=sizes | {"image_size": 32, "patch_size": 32 // GRID}, projection_dim=16
    )
    torch.manual_seed(0)
    model = Owlv2ForObjectDetection(config)
    torch.nn.init.zeros_(model.box_head.dense2.weight)
    torch.nn.init.zeros_(model.box_head.dense2.bias)
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def grounding_dino(tmp_path_factory):
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder = tmp_path_factory.mktemp("grounding_dino")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "red", "car", "blue", "arrow"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    text = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    eyes = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=eyes, text_config=text, d_model=32, encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_layers=2, decoder_ffn_dim=16, decoder_attention_heads=2, num_queries=6, max_text_len=32,
        disable_custom_kernels=True,
    )  # fmt: skip
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 128})
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def test_owlv2_boxes_lie_where_its_patches_lie_in_the_picture(owlv2):
    found = get_detector(f"owlv2:{owlv2}", threshold=0.0, most=GRID * GRID)(asked(picture()))
    assert {word for word, _ in found} <= set(WORDS)
    # OWLv2's grid: boxes of one patch around (i + 1) / GRID of the padded square, here 60 x 60 pixels with patches of 15; the
    # picture's 40 rows end within the third, and the fourth lies below it.
    patches = {
        ((x + 0.5) / GRID, (y + 0.5) * 15 / 40, min(1.0, (x + 1.5) / GRID), min(1.0, (y + 1.5) * 15 / 40))
        for x in range(GRID)
        for y in range(GRID - 1)
    }
    assert len(found) == len(patches)
    for _, box in found:
        corners = (box.x0, box.y0, box.x1, box.y1)
        assert min(max(abs(a - b) for a, b in zip(corners, patch, strict=True)) for patch in patches) < 2e-3


def test_grounding_dino_boxes_are_the_models_own_in_shares_of_the_picture(grounding_dino):
    detector = get_detector(f"grounding_dino:{grounding_dino}", threshold=0.0, most=6)
    found = detector(asked(picture()))
    assert found
    assert {word for word, _ in found} <= set(WORDS)
    model, processor = detector._loaded
    inputs = processor(text="red car. blue arrow.", images=picture(), return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (64, 96), "the picture's shape is kept, nothing is padded"
    with torch.inference_mode():
        middle, size = model(**inputs).pred_boxes[0].split(2, -1)
    own = torch.cat([middle - size / 2, middle + size / 2], -1).clamp(0, 1).tolist()
    for _, box in found:
        corners = (box.x0, box.y0, box.x1, box.y1)
        assert min(max(abs(a - b) for a, b in zip(corners, other, strict=True)) for other in own) < 1e-5


@pytest.mark.parametrize("name", ["owlv2", "grounding_dino"])
def test_a_picture_stored_on_its_side_has_the_same_boxes(name, request):
    folder = request.getfixturevalue(name)
    upright, turned = (get_detector(f"{name}:{folder}", threshold=0.0)(asked(image)) for image in (picture(), lying()))
    assert upright == turned
    assert upright
    other = get_detector(f"{name}:{folder}", threshold=0.0)(asked(picture().transpose(Image.Transpose.ROTATE_90)))
    assert other != upright, "lying and not marked so it is another picture"


@pytest.mark.parametrize("name", ["owlv2", "grounding_dino"])
def test_a_picture_is_looked_at_once_and_limits_are_kept(name, request, monkeypatch):
    folder = request.getfixturevalue(name)
    detector = get_detector(f"{name}:{folder}", threshold=0.0, most=1)
    found = detector(asked(picture()))
    assert len(found) == len({word for word, _ in found}), "one box a word at most"
    monkeypatch.setattr(detector, "_find", None)
    assert detector(asked(picture())) == found
    assert get_detector(f"{name}:{folder}", threshold=1.0)(asked(picture())) == []
    assert detector.fingerprint != get_detector(f"{name}:{folder}", threshold=0.5, most=1).fingerprint
    assert detector.fingerprint == get_detector(f"{name}:{folder}", threshold=0.0, most=1).fingerprint


def test_boxes_and_labels_are_tidied():
    assert inside([-3, 10, 30, 50], (60, 40)) == Box(x0=0, y0=0.25, x1=0.5, y1=1)
    assert inside([70, 10, 90, 20], (60, 40)) is None
    assert nearest("red car.", WORDS) == "red car"
    assert nearest("arrow", WORDS) == "blue arrow"
    assert nearest("car", ("red car", "car")) == "car"
    assert nearest("", WORDS) is None


def test_mistakes_are_one_line(tmp_path):
    for name in ("owlv2", "grounding_dino"):
        with pytest.raises(HeadAtlasError, match=f"detector '{name}': .* cannot be loaded"):
            DETECTORS[name](str(tmp_path / "absent"))(asked(picture()))
    with pytest.raises(HeadAtlasError, match=r"threshold must be in 0..1, got 2"):
        get_detector("owlv2", threshold=2.0)
    with pytest.raises(HeadAtlasError, match="most must be >= 1, got 0"):
        get_detector("owlv2", most=0)
