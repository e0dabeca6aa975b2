"""Real processors: what a batch says of spans and image tokens is what the model sees. A few on each run, all when slow."""

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.proof import check_family
from headatlas.proof.processor import check as module
from headatlas.proof.processor import check_processor, processor_families, tiny_processor_of
from headatlas.vlm.model import VLM

FAST = {
    "qwen3_5": "thinking template, linear attention, dynamic resolution",
    "mllama": "cross-attention",
    "paligemma": "prefix read in both directions, no template",
    "glm4v": "a turn ends where the next begins",
    "llava_onevision": "tiles, a template that writes history differently",
    "gemma3": "an image token other than the placeholder",
}
TOKENS = {
    "qwen3_5": (16, 18),
    "mllama": (0, 0),
    "paligemma": (16, 16),
    "glm4v": (16, 21),
    "llava_onevision": (88, 52),
    "gemma3": (4, 4),
}


@pytest.mark.parametrize("family", FAST)
def test_a_few_families_hold(family):
    report = check_processor(family)
    assert report.problem == ""
    assert report.spans == "36/36"
    assert report.ends == 36
    assert tuple(report.image_tokens.values()) == TOKENS[family]
    across = family == "mllama"
    assert (report.located, report.scope_image) == (("cross-attention", "refused") if across else ("text", "edits"))


@pytest.mark.slow
@pytest.mark.parametrize("family", processor_families())
def test_every_family_holds(family):
    report = check_processor(family)
    if report.problem and "does not run the bare model" in (reason := check_family(family).reason):
        pytest.skip(reason)
    assert report.problem == ""
    assert report.spans == "36/36"


def test_a_wrong_image_token_is_seen(monkeypatch):
    real = VLM.image_ids.fget

    def wrong(self):
        return (real(self)[0], self.tokenizer.convert_tokens_to_ids("<|vision_start|>"))

    monkeypatch.setattr(VLM, "image_ids", property(wrong))
    assert "wrongly marked as image positions" in check_processor("qwen2_vl").problem


def test_answers_that_are_seen_before_they_are_given_are_told(monkeypatch):
    """PaliGemma's own processor calls the whole conversation its prefix: one pass is then not step by step."""
    from headatlas.vlm import batch

    monkeypatch.setattr(batch, "_types_of_prefix", lambda inputs, ends: None)
    assert "steps: the logits differ" in check_processor("paligemma").problem


def test_a_difference_is_a_problem():
    report = module.ProcessorReport()
    assert "differ by" in module._same("steps", torch.ones(2, 3), torch.ones(2, 3) * 1.01, report)
    assert report.differences["steps"] == pytest.approx(0.01, rel=1e-3)


def test_families_without_an_entry_and_packages_that_lack(monkeypatch):
    assert "family must be one with a processor entry" in check_processor("aria").problem
    from headatlas.proof.processor.build import build_processor

    class Needy:
        def __init__(self, **parts):
            raise ImportError("Package `num2words`\nis required")

    monkeypatch.setattr("transformers.SmolVLMProcessor", Needy, raising=False)
    with pytest.raises(HeadAtlasError, match="needs a package that is not installed: Package `num2words` is required"):
        build_processor(tiny_processor_of("smolvlm"))
