"""What reading and editing ask of a device: the host waits at no layer, and a layer takes few operations.

Counted, not timed, on a model whose tensors pretend to be on a device (`pretend_device.py`), with two and with four layers.
"""

import copy

import numpy as np
import pytest
import torch
from pretend_device import DEVICE, counting, on_device
from transformers import AutoModelForImageTextToText

from headatlas.activations.attention import attention_unit
from headatlas.activations.reduce import StepMeans
from headatlas.activations.tokens import TOKENS
from headatlas.heads import AttentionReader, ZReader
from headatlas.latent import METHODS
from headatlas.vlm import VLM, active_edits, conversation, evaluate, loaded
from headatlas.vlm.batch import encode
from headatlas.vlm.forward import logits_at

MOST = {"capture": 3, "rows": 15, "summaries": 49, "scaling": 30}
"""Most operations a layer, besides those of the model's own pass, in float32.

* capture: the sum that is checked, the wanted tokens, their sums.
* rows: the wanted queries and outputs, a copy of keys and of values for their products, two products, scale, mask, softmax and
  rows without keys; difference, its and the output's largest value, and what is left out of each.
* summaries: rows, 21 to find the sinks in the layer's input, 13 for sums, entropy, top key and maps.
* scaling: 4 to put keys and values behind others in a cache, in both runs of the block (`OWN`); 26 for the rows without edits,
  their comparison, the rows under two weights, and their output.
"""
OWN = {"capture": 1, "rows": 1, "summaries": 1, "scaling": 2}
"""How often a block runs: once in the pass, and for scaling once more at the predicting positions."""


@pytest.fixture(scope="module")
def model_of(tiny_vlm):
    """A model of so many layers with random weights, wide enough to be looked through for sinks."""

    def make(layers):
        config = copy.deepcopy(tiny_vlm.model.config)
        config.text_config.num_hidden_layers, config.text_config.hidden_size = layers, 416
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config).eval().requires_grad_(False)
        vlm = VLM(f"of {layers} layers", model, tiny_vlm.processor, "a fixed fingerprint")
        vlm.branches = True  # branches were tested before
        return vlm

    return make


def do(what, vlm, questions, weights=(0.8, 1.5)):
    """One batch with all questions; what is read, on the host."""
    batch = encode(vlm, [conversation(question) for question in questions])
    where, size = batch.predict_mask(), len(questions)
    if what == "bare":
        return logits_at(vlm, batch, where, range(size)).cpu()
    if what == "capture":
        runs = [(r, TOKENS["predict"](batch, r, t)) for r, spans in enumerate(batch.spans) for t in range(len(spans))]
        means = StepMeans(runs, vlm.heads.dims("L"), vlm.device)
        logits_at(vlm, batch, where, range(size), ZReader(vlm.heads, on_z=means))
        return means.means.cpu()
    if what == "rows":
        reader = AttentionReader(vlm.model, vlm.heads, queries=where.to(vlm.device))
        logits_at(vlm, batch, where, range(size), reader)
        return torch.stack([rows.weights for rows in reader.rows.values()]).cpu()
    if what == "summaries":
        arrays, _, _ = attention_unit(vlm, questions, [0], "predict", str(vlm.heads.heads("L")), False, size)
        return torch.as_tensor(np.stack(list(arrays.values())))
    method = METHODS["attention_scaling"]()
    method.heads, method.weights, method.threshold = vlm.heads.heads("L"), weights, 0.0
    method._decide = lambda bare: [i % 2 for i in range(len(bare.confidences))]  # as many of each weight
    with method.applied(vlm):
        return torch.tensor(evaluate(vlm, questions, batch_size=size)["logprob"].tolist())


@pytest.fixture(scope="module")
def counted(model_of, boxed_questions):
    """Counts and results of all work, by (what, layers, number of questions)."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        for layers in (2, 4):
            vlm = model_of(layers)
            with torch.no_grad():
                for what in MOST:
                    out["on the host", what, layers] = do(what, vlm, boxed_questions)
            on_device(vlm.model)
            patch.setattr(loaded, "_device", lambda module: DEVICE)
            patch.setattr(active_edits, "hooks", lambda model: "")  # the mode that counts is none that changes answers
            for what in ("bare", *MOST):
                for n in (4, 8):
                    with counting() as counts:
                        made = do(what, vlm, boxed_questions[:n])
                    out[what, layers, n] = counts, getattr(made, "held", made)
            patch.undo()
    return out


@pytest.mark.parametrize("what", MOST)
def test_results_are_those_on_the_host(counted, what):
    for layers in (2, 4):
        wanted, found = counted["on the host", what, layers], counted[what, layers, 8][1]
        torch.testing.assert_close(found, wanted.to(found), atol=1e-5, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("what", MOST)
def test_the_host_waits_as_often_with_more_layers(counted, what):
    for n in (4, 8):
        assert counted[what, 2, n][0].waits == counted[what, 4, n][0].waits


@pytest.mark.parametrize("what", MOST)
def test_the_host_waits_as_often_with_more_questions(counted, what):
    bare = [counted["bare", 2, n][0].n_waits for n in (4, 8)]
    own = [counted[what, 2, n][0].n_waits for n in (4, 8)]
    assert own[1] - own[0] == bare[1] - bare[0]


def a_layer(counted, what, n):
    """Operations that one layer more takes."""
    return (counted[what, 4, n][0].n_ops - counted[what, 2, n][0].n_ops) / 2


@pytest.mark.parametrize("what", MOST)
def test_a_layer_takes_few_operations_however_many_questions_and_heads(counted, what):
    bare = a_layer(counted, "bare", 8)
    assert bare > 20
    assert a_layer(counted, what, 8) <= OWN[what] * bare + MOST[what]
    assert a_layer(counted, what, 8) == a_layer(counted, what, 4)


def test_both_weights_are_in_one_branch(counted, model_of, boxed_questions):
    """Answers that have different weights are what each weight alone makes of them; a weight of 1 changes nothing."""
    values = counted["on the host", "scaling", 2]
    with torch.no_grad():
        vlm = model_of(2)
        first, second = (do("scaling", vlm, boxed_questions, weights) for weights in ((0.8, 1.0), (1.0, 1.5)))
        bare = do("scaling", vlm, boxed_questions, (1.0, 1.0))
    assert (first != bare).any()
    assert (second != bare).any()
    torch.testing.assert_close(values, torch.where(first == bare, second, first), atol=1e-5, rtol=1e-5)


def test_what_makes_the_host_wait_is_counted():
    """Each of these waits for a GPU; a view and an operation on the device do not."""
    layer = on_device(torch.nn.Linear(4, 4))
    mask = torch.tensor([True, False, True, False])
    waiting = {
        "item": lambda w: w[0, 0].item(),
        "bool": lambda w: bool(w[0, 0] > 0),
        "list": lambda w: w.tolist(),
        "host": lambda w: w.cpu(),
        "to the device": lambda w: mask.to(w.device),
        "mask": lambda w: w[mask.to(w.device)],
        "index": lambda w: w[:, [0, 2]],
        "nonzero": lambda w: (w > 0).nonzero(),
    }
    for name, work in waiting.items():
        with counting() as counts:
            work(layer.weight)
        assert counts.n_waits == (2 if name == "mask" else 1), name
    with counting() as counts:
        layer.weight[:, 1:3].transpose(0, 1).exp()
    assert (counts.n_waits, counts.n_ops) == (0, 1)
