"""AdaptVis, computed a second time by other code: softmax written out, with the image columns of the logits multiplied by w."""

import math

import pytest
import torch
from torch.nn import functional

from headatlas.latent import METHODS
from headatlas.vlm import conversation, evaluate
from headatlas.vlm.batch import encode

WEIGHTS = (0.4, 2.5)


@torch.no_grad()
def by_hand(vlm, question, threshold, monkeypatch):
    """Log-probabilities of the question's gold answers, each edited alone, and how many turns were confident."""
    batch = encode(vlm, [conversation(question)])
    ids, image = batch.ids[0], batch.image_mask[0]
    inputs = batch.to(vlm.device, vlm.dtype)
    bare = vlm.model(**inputs).logits[0]
    sure = [bool(bare[start - 1].softmax(-1).max() >= threshold) for start, _ in batch.spans[0]]
    kernel, calls = functional.scaled_dot_product_attention, []

    def explicit(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        if query.shape[2] != len(image):  # the vision tower
            return kernel(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        calls.append(1)
        each = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(each, 1), value.repeat_interleave(each, 1)
        logits = query @ key.transpose(2, 3) * (scale or 1 / math.sqrt(query.shape[-1]))
        logits[:, :, place, image] *= weight
        logits = logits.masked_fill(torch.ones(logits.shape[-2:]).triu(1).bool(), -torch.inf)
        return logits.softmax(-1) @ value

    found = []
    for confident, (start, end) in zip(sure, batch.spans[0], strict=True):
        place, weight = start - 1, WEIGHTS[confident]
        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(functional, "scaled_dot_product_attention", explicit)
            logits = vlm.model(**inputs).logits[0].log_softmax(-1)
        assert len(calls) == len(vlm.heads.tower("L"))
        found.append(sum(float(logits[t - 1, ids[t]]) for t in range(start, end)))
    return found, sum(sure)


def test_adaptvis_is_what_other_code_computes(inputs, monkeypatch):
    vlm, questions = inputs.vlm, list(inputs.data.split("E"))
    method = METHODS["attention_scaling"]()
    method.fit(inputs)
    method.weights = WEIGHTS
    with method.applied(vlm):
        found = evaluate(vlm, questions)
    confident = 0
    for question in questions:
        expected, sure = by_hand(vlm, question, method.threshold, monkeypatch)
        confident += sure
        own = found.loc[found["question"] == question.id, "logprob"].tolist()
        assert own == pytest.approx(expected, abs=2e-4)
    assert 0 < confident < len(found), "both weights were used"
    assert len(found) > len(questions), "there are conversations of several turns"
    bare = evaluate(vlm, questions)["logprob"]
    assert (bare - found["logprob"]).abs().max() > 1e-3
