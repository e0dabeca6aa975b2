"""A model spread over devices by accelerate: what the engine calls directly still goes through accelerate's hooks."""

import copy

import numpy as np
import pytest
from accelerate import dispatch_model

from headatlas.engine import sweep
from headatlas.heads import HeadSet, mean, zero
from headatlas.vlm.chat import conversation
from headatlas.vlm.model import VLM


@pytest.fixture
def spread_vlm(tiny_vlm, tmp_path):
    """The second block's weights lie on disk and are brought in for each call: here, the only second device there is."""
    model = copy.deepcopy(tiny_vlm.model)
    text = model.model.language_model
    places = {f"model.{name}": "cpu" for name, _ in model.model.named_children() if name != "language_model"}
    places |= {f"model.language_model.{name}": "cpu" for name, _ in text.named_children() if name != "layers"}
    places |= {"model.language_model.layers.0": "cpu", "model.language_model.layers.1": "disk", "lm_head": "cpu"}
    model = dispatch_model(model, places, main_device="cpu", offload_dir=str(tmp_path), force_hooks=True)
    assert model.model.language_model.layers[1].self_attn.o_proj.weight.device.type == "meta"
    return VLM("spread", model, tiny_vlm.processor)


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_blocks_on_several_devices_are_taken_up_in_the_middle(spread_vlm, tiny_vlm, tiny_questions, scope):
    chats = [conversation(question) for question in tiny_questions[:4]]
    means = np.random.default_rng(0).normal(size=tiny_vlm.heads.dims("L")).astype(np.float32)
    heads = list(tiny_vlm.heads.heads())
    conditions = [[zero([head])] for head in heads[2:6]] + [[mean(HeadSet(heads[3:5]), means)], []]
    found = sweep(spread_vlm, chats, conditions, scope, batch_size=2)
    want = sweep(tiny_vlm, chats, conditions, scope, batch_size=2)
    assert found.how == want.how == ("branch" if scope == "answer" else "resume"), found.reason
    np.testing.assert_allclose(found.logprob, want.logprob, atol=2e-5)
    assert found.text == want.text


def test_what_cannot_follow_the_devices_is_run_whole_and_says_so(tiny_vlm, tiny_questions, monkeypatch):
    module = __import__(sweep.__module__, fromlist=["resume"])
    chats = [conversation(question) for question in tiny_questions[:2]]
    conditions = [[zero(["L0.H1"])]]
    want = sweep(tiny_vlm, chats, conditions)

    def torn(*args):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cuda:1!"
        )

    monkeypatch.setattr(module, "resume", torn)
    found = sweep(tiny_vlm, chats, conditions)
    assert (found.how, found.reason) == ("rerun", "its blocks, on several devices, cannot be called alone")
    np.testing.assert_allclose(found.logprob, want.logprob, atol=2e-5)

    def broken(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(module, "resume", broken)
    with pytest.raises(RuntimeError, match="something else"):
        sweep(tiny_vlm, chats, conditions)
