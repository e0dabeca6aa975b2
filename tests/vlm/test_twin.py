"""The untrained twin: the same shape and inputs, other weights, and the model itself is not changed."""

import torch

from headatlas.vlm.twin import untrained_twin


def test_a_twin_has_the_shape_and_none_of_the_weights(tiny_vlm):
    before = {name: weight.clone() for name, weight in tiny_vlm.model.named_parameters()}
    state = torch.get_rng_state()
    twin, again, other = untrained_twin(tiny_vlm), untrained_twin(tiny_vlm), untrained_twin(tiny_vlm, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert twin.heads.shape == tiny_vlm.heads.shape
    assert twin.fingerprint == again.fingerprint
    assert len({twin.fingerprint, other.fingerprint, tiny_vlm.fingerprint}) == 3
    assert not twin.model.training
    shapes = {name: weight.shape for name, weight in twin.model.named_parameters()}
    assert shapes == {name: weight.shape for name, weight in before.items()}
    for name, weight in tiny_vlm.model.named_parameters():
        assert torch.equal(weight, before[name])
