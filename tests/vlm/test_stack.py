import pytest
import torch

from headatlas.heads import HeadSet, edit_heads, zero
from headatlas.vlm.stack import Unfit, find_stack, replaced_forward, stack_of

from .conftest import families


def run(made):
    with torch.no_grad():
        return made.model(**made.images)


@pytest.mark.parametrize("family", list(families.CONFIGS))
def test_a_block_cut_in_two_is_the_block(family):
    made = families.tiny(family)
    stack = find_stack(made.model, made.grid)
    assert [stack.index[site] for site in made.grid.tower("L")] == sorted(stack.index[s] for s in made.grid.tower("L"))
    for i, block in enumerate(stack.blocks):
        with block.watched() as seen:
            run(made)
        seen.check()
        with torch.no_grad():
            again = stack.from_z(i, seen.hidden, seen.z, seen.call, seen.n_outputs)
        torch.testing.assert_close(again, seen.out, atol=1e-5, rtol=1e-5)


def test_z_is_reached_with_the_edits_on_it():
    made = families.tiny("llava")
    stack = find_stack(made.model, made.grid)
    with stack.blocks[0].watched() as seen:
        run(made)
    hidden, call = seen.hidden, seen.call
    kwargs = {name: value for name, value in call.kwargs.items() if name not in ("cache", "past_key_values")}
    call = type(call)(call.args, kwargs)
    with torch.no_grad():
        torch.testing.assert_close(stack.up_to_z(0, hidden, call), seen.z, atol=1e-6, rtol=1e-6)
        with edit_heads(made.model, made.grid, [zero(HeadSet(["L0.H1"]))]):
            z = stack.up_to_z(0, hidden, call)
    d = stack.blocks[0].site.d_head
    assert z[..., d : 2 * d].abs().max() == 0 < seen.z[..., d : 2 * d].abs().max()
    # From z on, hooks on the projection are past: an edit acts once.
    with torch.no_grad(), edit_heads(made.model, made.grid, [zero(HeadSet(["L0.H0"]))]):
        again = stack.from_z(0, hidden, seen.z, call, seen.n_outputs)
    torch.testing.assert_close(again, seen.out, atol=1e-5, rtol=1e-5)


def test_an_attention_that_does_more_behind_its_projection_is_refused():
    made = families.tiny("llava")
    block = find_stack(made.model, made.grid).blocks[0]
    handle = block.attention.register_forward_hook(lambda m, args, out: (2 * out[0], *out[1:]))
    try:
        with block.watched() as seen:
            run(made)
    finally:
        handle.remove()
    with pytest.raises(Unfit, match="does more after its output projection"):
        seen.check()


def test_a_block_that_does_not_run_once_is_refused():
    made = families.tiny("llava")
    with find_stack(made.model, made.grid).blocks[0].watched() as seen:
        with pytest.raises(Unfit, match="runs 0 times"):
            seen.check()
        run(made)
        seen.check()
        run(made)
    with pytest.raises(Unfit, match="runs 2 times"):
        seen.check()


def test_a_forward_is_put_back():
    module = torch.nn.Linear(2, 2)
    with replaced_forward(module, lambda x: x):
        assert module(torch.ones(1, 2)).tolist() == [[1, 1]]
    assert "forward" not in module.__dict__
    module.forward = own = lambda x: -x  # as accelerate does
    with pytest.raises(ZeroDivisionError), replaced_forward(module, lambda x: x):
        raise ZeroDivisionError
    assert module.forward is own


def test_the_stack_of_a_vlm_is_that_of_its_model_now(tiny_vlm):
    stack = stack_of(tiny_vlm)
    assert len(stack.blocks) == 2
    assert stack.blocks[0].site in stack.index
