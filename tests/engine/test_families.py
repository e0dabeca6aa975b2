"""Branches and resumed passes compared with full passes, family by family, at the level of tensors."""

from dataclasses import replace

import pytest
import torch

from headatlas.engine.answers import answers_of
from headatlas.engine.branch import branch
from headatlas.engine.edits import compile_group, first_block
from headatlas.engine.record import record
from headatlas.engine.resume import resume
from headatlas.heads import Head, HeadSet, edit_heads, patch, scale, zero
from headatlas.vlm.stack import find_stack

from .conftest import cut

CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def conditions(grid):
    """One head of each layer of each tower inside the language model, and one condition in several layers."""
    sites = [*grid.tower("L"), *grid.tower("X")]
    single = [[scale(HeadSet([Head(s.layer, i % s.n_heads, s.tower)]), 0.3)] for i, s in enumerate(sites)]
    several = [[zero(HeadSet([Head(0, 1)])), scale(HeadSet([Head(1, 0), Head(1, 3)]), -2.0)]]
    values = torch.randn(2, *grid.dims("L"), generator=torch.Generator().manual_seed(1))
    return [*single, *several, [patch(HeadSet([Head(1, 2)]), values)]]


def gold_logprobs(logits, batch):
    """[n] sums over each answer's tokens."""
    out = []
    logprobs = logits.float().log_softmax(-1)
    for row, spans in enumerate(batch.spans):
        for start, end in spans:
            gold = batch.ids[row, start:end]
            out.append(logprobs[row, start - 1 : end - 1].gather(1, gold[:, None]).sum())
    return torch.stack(out).double()


def by_row(edits, n=2):
    return [[edit.at_row(row) for edit in edits] for row in range(n)]


def step_by_step(case, edits, scope):
    """Each answer from a pass that ends with it, edited nowhere but at this answer."""
    out = []
    for row, spans in enumerate(case.batch.spans):
        for turn, (_, end) in enumerate(spans):
            short = cut(case.batch.inputs, end)
            alone = tuple((s[turn],) if r == row else () for r, s in enumerate(case.batch.spans))
            one = replace(case.batch, inputs=short, spans=alone, image_mask=case.batch.image_mask[:, :end])
            with edit_heads(case.model, case.grid, by_row(edits), scope, one.positions):
                out.append(gold_logprobs(case.model(**short, use_cache=False).logits, one))
    return torch.cat(out)


@torch.no_grad()
@pytest.mark.parametrize("scope", ["answer", "last"])
def test_branches_are_the_steps_one_by_one(case, scope):
    stack, answers = find_stack(case.model, case.grid), answers_of(case.batch)
    kept = record(case.model, stack, case.batch.inputs, case.batch.predict_mask(), cached=True)
    every = conditions(case.grid)
    moved = 0.0
    bare = step_by_step(case, [], scope)
    for edits in every:
        start = first_block(edits, case.grid, stack.index)
        found = branch(kept, answers, compile_group(case.grid, [edits], [0, 1]), start, scope)
        want = step_by_step(case, edits, scope)
        torch.testing.assert_close(found.logprob[0], want, **CLOSE)
        moved = max(moved, float((want - bare).abs().max()))
    assert moved > 1e-2, "the edits must matter, else this test could not fail"
    # Together, one behind the other in a row: the same.
    together = branch(kept, answers, compile_group(case.grid, every, [0, 1]), 0, scope)
    for g, edits in enumerate(every):
        torch.testing.assert_close(together.logprob[g], step_by_step(case, edits, scope), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("scope", ["all", "image", "prompt"])
def test_passes_taken_up_in_the_middle_are_whole_passes(case, scope):
    assert case.batch.image_mask.any(), "a mask that got lost would hide what scope image does"
    stack, answers = find_stack(case.model, case.grid), answers_of(case.batch)
    kept = record(case.model, stack, case.batch.inputs, case.batch.predict_mask(), cached=False)
    where = None if scope == "all" else case.batch.positions.mask(scope)
    bare = gold_logprobs(case.model(**case.batch.inputs, use_cache=False).logits, case.batch)
    moved = 0.0
    for edits in conditions(case.grid):
        start = first_block(edits, case.grid, stack.index)
        found = resume(kept, answers, compile_group(case.grid, [edits], [0, 1]), start, where)
        with edit_heads(case.model, case.grid, by_row(edits), scope, case.batch.positions):
            want = gold_logprobs(case.model(**case.batch.inputs, use_cache=False).logits, case.batch)
        torch.testing.assert_close(found.logprob[0], want, **CLOSE)
        moved = max(moved, float((want - bare).abs().max()))
    assert moved > 1e-3


@torch.no_grad()
def test_recorded_logits_and_argmax_are_the_models(case):
    stack, answers = find_stack(case.model, case.grid), answers_of(case.batch)
    where = case.batch.predict_mask()
    for cached in (False, True):
        kept = record(case.model, stack, case.batch.inputs, where, cached)
        want = case.model(**case.batch.inputs).logits
        torch.testing.assert_close(kept.logits, want[where].float(), atol=1e-5, rtol=1e-4)
        assert answers.n == 4
        assert answers.real.sum() == where.sum()
