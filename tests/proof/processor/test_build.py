"""Tiny checkpoints with real processors: tokenizers have the family's tokens, vocabularies fit, folders load."""

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.proof.processor import build_tokenizer, processor_families, tiny_processor_of, write_checkpoint
from headatlas.vlm import load_vlm


@pytest.mark.parametrize("family", processor_families())
def test_every_special_token_is_one_token_and_text_comes_back(family):
    entry = tiny_processor_of(family)
    tokenizer = build_tokenizer(entry)
    for token in (*entry.special_tokens, *entry.added_tokens):
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1
    text = "Is the red car\nleft of the 2 blue arrows? Zürich"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert tokenizer(text)["input_ids"][0] == (tokenizer.convert_tokens_to_ids(entry.bos) if entry.bos else ids[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_folder_is_a_checkpoint_of_the_given_precision(tmp_path):
    folder = write_checkpoint("llava", tmp_path, dtype=torch.bfloat16)
    vlm = load_vlm(folder, device="cpu", dtype="auto")
    assert vlm.dtype == torch.bfloat16
    assert vlm.processor.image_token == "<image>"
    assert vlm.model.get_input_embeddings().weight.shape[0] >= len(vlm.tokenizer)


def test_an_unknown_family(tmp_path):
    with pytest.raises(HeadAtlasError, match="got 'aria'"):
        write_checkpoint("aria", tmp_path)
