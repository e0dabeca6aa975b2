"""What is shown of a model: towers, sizes, kernels, and what is left out and why."""

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.proof import describe, show, write_checkpoint


def test_towers_and_sizes(tiny):
    lines = describe(tiny.model)
    assert lines[0] == "L  language model: 2 layers, 8 heads"
    assert "L0-1: 4 heads x 16" in lines[1]
    assert "2 query heads to a key head" in lines[1]
    assert "kernel sdpa" in lines[1]
    assert any(line.startswith("V  vision tower: 2 layers") for line in lines)


def test_a_family_is_shown_in_its_default_size_without_weights():
    lines = show("qwen3_5")
    assert "default sizes" in lines[0]
    assert any("24 x" in line and "linear attention" in line for line in lines)


def test_a_shipped_model_tells_its_image_tokens():
    lines = show("ref-llava")
    assert "image tokens: the picture is in the text, at the tokens <image>" in lines
    assert any("448 x 448" in line and "36 of them hold the picture" in line for line in lines)
    assert lines[-1].startswith("supported: reading and editing heads of L, V; scopes all, image, prompt, answer, last")
    assert any(line.startswith("V  ") for line in lines)


def test_unknown_names_and_families_without_defaults_are_told():
    with pytest.raises(HeadAtlasError):
        show("no-such-model-anywhere")
    with pytest.raises(HeadAtlasError, match="no usable default"):
        show("qwen4_exp")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_picture_that_is_attended_to_across_is_told(tmp_path):
    lines = show(str(write_checkpoint("mllama", tmp_path)))
    assert (
        "image tokens: the picture reaches the text by cross-attention, and no position of the text holds it" in lines
    )
    assert any("none holds the picture" in line for line in lines)
    assert "scopes all, prompt, answer, last" in lines[-1]
    assert show("mllama")[-1] == "image tokens: the picture reaches the text by cross-attention; scope image is refused"


def test_a_family_names_its_token():
    assert "at the tokens <image_soft_token>" in show("gemma3")[-1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_form_of_our_own_is_told(tmp_path):
    assert "chat template: HeadAtlas's own" in show(str(write_checkpoint("paligemma", tmp_path)))[-1]
