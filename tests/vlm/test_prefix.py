"""Decoding after a prefix gives the same as decoding from the beginning, family by family, at the level of tensors."""

from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from headatlas.vlm.batch import Batch
from headatlas.vlm.prefix import Prefix, go_on, new_cache

from .conftest import families

decoding = import_module("headatlas.vlm.generate")
ALONG = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")


class Only:
    """As much of a VLM as decoding asks for."""

    def __init__(self, model, heads):
        self.model, self.heads, self.name = model, heads, type(model).__name__
        self.tokenizer, self.end_ids = SimpleNamespace(pad_token_id=0), frozenset([2])
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.resumes = None

    def running(self, batch, rows):
        return nullcontext()


def opened(inputs):
    """Two open rows; the second one is one token shorter, padded on the left."""
    mask = inputs["attention_mask"].clone()
    mask[1, 0] = 0
    return Batch({**inputs, "attention_mask": mask}, ((), ()), ((), ()), inputs["input_ids"] == 5, (0, 1), "left", True)


def turned(batch):
    """The rows in the other order; pixels are packed by image where a family packs them."""

    def turn(value):
        return torch.cat(value.chunk(2)[::-1])

    mask = turn(batch.image_mask)
    return replace(
        batch, inputs={n: turn(v) for n, v in batch.inputs.items()}, image_mask=mask, starts=batch.starts[::-1]
    )


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "idefics3", "mllama"])
def test_decoding_behind_a_prefix_is_decoding_from_the_beginning(family):
    made = families.tiny(family)
    batch = opened(dict(made.images))
    vlm, length = Only(made.model, made.grid), batch.ids.shape[1]
    want, _ = decoding.decode(vlm, batch, [0, 1], 6)
    # A shorter prompt, with the rows in the other order: its last tokens are other ones, as those of another step.
    short = {name: value[:, : length - 2] if name in ALONG else value for name, value in batch.inputs.items()}
    short["input_ids"] = short["input_ids"].clone()
    short["input_ids"][0, -1] = 11 + (short["input_ids"][0, -1] == 11)
    other = turned(replace(batch, inputs=short, image_mask=batch.image_mask[:, : length - 2]))
    _, prefix = decoding.decode(vlm, other, [0, 1], 3, keep=True)
    taken = go_on(prefix, [1, 0], batch)
    if family == "mllama":  # its cache holds image tokens too
        assert taken is None
        return
    assert taken.get_seq_length() == length - 3
    said, kept = decoding.decode(vlm, batch, [0, 1], 6, (prefix, [1, 0]), keep=True)
    assert said == want
    assert vlm.resumes, "it must have been taken up, and its logits those of the whole pass"
    assert kept.ids[:, :length].equal(batch.ids)
    # Go on from what went on, to more tokens of its own.
    longer = torch.cat([batch.ids, torch.tensor([[11, 12, 13]] * 2)], 1)
    grown = {n: torch.nn.functional.pad(v, (0, 3)) if n in ALONG[2:] else v for n, v in batch.inputs.items()}
    grown |= {
        "input_ids": longer,
        "attention_mask": torch.nn.functional.pad(batch.inputs["attention_mask"], (0, 3), value=1),
    }
    next_step = replace(batch, inputs=grown, image_mask=longer == 5)
    assert (
        decoding.decode(vlm, next_step, [0, 1], 6, (kept, [0, 1]))[0] == decoding.decode(vlm, next_step, [0, 1], 6)[0]
    )


@torch.no_grad()
def test_a_model_that_does_not_go_on_as_it_should_is_found_out(caplog):
    made = families.tiny("llava")
    batch = opened(dict(made.images))
    vlm = Only(made.model, made.grid)
    want, prefix = decoding.decode(vlm, batch, [0, 1], 4, keep=True)
    with torch.inference_mode():
        prefix.cache.layers[1].values.mul_(-3.0)
    for _ in range(2):
        said, kept = decoding.decode(vlm, batch, [0, 1], 4, (prefix, [0, 1]), keep=True)
        assert said == want
        assert kept is None
    assert caplog.text.count("does not continue from a prefix") == 1


def test_what_cannot_be_taken_up_is_told():
    ids = torch.arange(10, 18)[None]
    batch = Batch(
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, ((),), ((),), ids == 12, (0,), "left", True
    )
    cache = DynamicCache()
    layer = DynamicLayer()
    layer.update(torch.arange(8.0).reshape(1, 1, 8, 1), torch.zeros(1, 1, 8, 1))
    cache.layers.append(layer)
    found = go_on(Prefix(cache, ids, ((0, 8),)), [0], batch)
    assert found.layers[0].keys.flatten().tolist() == list(range(7)), "the last token is always run: it predicts"
    assert go_on(Prefix(cache, ids, ((0, 5),)), [0], batch).get_seq_length() == 5
    assert go_on(Prefix(cache, ids, ((0, 2),)), [0], batch) is None, "an image stands behind the prefix"
    assert go_on(Prefix(DynamicCache(), ids, ((0, 8),)), [0], batch) is None
    recurrent = SimpleNamespace(layer_types=["full_attention", "linear_attention"])
    config = SimpleNamespace(get_text_config=lambda decoder: recurrent)
    assert new_cache(SimpleNamespace(config=config)) is None
