import pytest
import torch

from headatlas.vlm.positions import call_at, take
from headatlas.vlm.stack import Call, Unfit

AT = torch.tensor([[1, 3], [0, 2]])


def test_what_depends_on_the_position_is_cut_and_the_rest_is_kept():
    angles = torch.arange(2 * 5 * 4.0).reshape(2, 5, 4)
    shared = torch.arange(5 * 4.0).reshape(1, 5, 4)
    call = Call((), {"position_embeddings": (angles, shared), "position_ids": torch.arange(5)[None], "layer": 3})
    made = call_at(call, AT, 5).kwargs
    assert torch.equal(made["position_embeddings"][0], take(angles, AT))
    assert torch.equal(made["position_embeddings"][1][1], shared[0, [0, 2]])
    assert made["position_ids"].tolist() == AT.tolist()
    assert made["layer"] == 3


def test_given_keywords_replace_those_that_are_there():
    call = Call((), {"attention_mask": torch.ones(2, 1, 5, 5)})
    assert call_at(call, AT, 5, attention_mask=None, cache=None).kwargs == {"attention_mask": None}


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call((1,), {}), "by position"),
        (Call((), {"masks": {"full": None}}), "masks, a dict"),
        (Call((), {"per_layer_input": torch.ones(2, 5, 7)}), "per_layer_input, which depends on the position"),
        (Call((), {"position_embeddings": "rotary"}), "positions are a str"),
    ],
)
def test_what_is_not_known_is_refused(call, why):
    with pytest.raises(Unfit, match=why):
        call_at(call, AT, 5)
