import random

import numpy as np
import pandas as pd
import pytest
import torch

from headatlas.cluster import Local
from headatlas.engine import sweep
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.heads import Head, HeadSet, mean, patch, zero
from headatlas.intervention import Condition, Runner, sharding
from headatlas.intervention.sharding import (
    Group,
    answer_on_workers,
    evaluate_on_workers,
    joined,
    packed,
    sweep_on_workers,
    unpacked,
)
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import evaluate

condition_module = __import__(Runner.__module__, fromlist=["GROUP_SIZES"])


class Shuffled(Local):
    """Workers whose shards end in any order, and that count them."""

    ran = 0

    def run(self, vlm, task, shards):
        made = list(shards)
        self.ran += len(made)
        random.Random(0).shuffle(made)
        return super().run(vlm, task, made)


class Data(list):
    """All questions in split E."""

    fingerprint = "eight"

    def split(self, name):
        return self if name == "E" else []


@pytest.fixture
def data(tiny_questions):
    return Data(tiny_questions)


@pytest.fixture
def small(monkeypatch):
    """Two windows, runs of one batch, groups of three conditions: eight questions make several shards of each group."""
    monkeypatch.setattr(sharding, "WINDOW", 5)
    monkeypatch.setattr(sharding, "BATCHES", 1)
    monkeypatch.setattr("headatlas.intervention.batched_answers.WINDOW", 5)
    monkeypatch.setattr(condition_module, "GROUP_SIZES", dict.fromkeys(condition_module.GROUP_SIZES, 3))


def conditions(vlm, scope):
    means = np.random.default_rng(0).normal(size=vlm.heads.dims("L")).astype(np.float32)
    heads = list(vlm.heads.heads())
    every = [Condition(f"zero {head}", (zero(HeadSet([head])),), scope) for head in heads[:5]]
    return [
        *every,
        Condition("bare"),
        *[Condition(f"mean {head}", (mean([head], means),), scope) for head in heads[4:7]],
    ]


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_spread_answers_are_the_plain_runner_s(tiny_vlm, data, tmp_path, small, scope):
    todo = conditions(tiny_vlm, scope)
    plain = Runner(tiny_vlm, data, batch_size=2).run_many(todo)
    workers = Shuffled()
    told = []
    runner = Runner(tiny_vlm, data, f"memory://{tmp_path.name}/{scope}", batch_size=2, workers=workers)
    found = runner.run_many(todo, progress=lambda name, done, total: told.append((name, done, total)))
    for one, same in zip(found, plain, strict=True):
        pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert [done for _, done, _ in told] == list(range(1, 10))
    assert {name for name, _, _ in told} == {condition.name for condition in todo}
    assert not any(runner.cache.has(f"shards/{file}") for file in _shards(runner.cache)), (
        "shards go when groups are whole"
    )
    before, evaluated = workers.ran, runner.evaluated
    assert evaluated == 9
    again = runner.run_many(todo)
    assert (workers.ran, runner.evaluated) == (before, evaluated)
    pd.testing.assert_frame_equal(again[0], plain[0], check_exact=True)


def _shards(folder):
    fs, root = folder._fs()
    return [path.rpartition("/")[2] for path in fs.find(f"{root}/shards")]


def test_shards_in_the_store_are_not_run_again(tiny_vlm, data, tmp_path, small, monkeypatch):
    todo = conditions(tiny_vlm, "answer")[:5]
    plain = Runner(tiny_vlm, data, batch_size=2).run_many(todo)
    cache = tmp_path / "answers"
    real, ran = sharding.sweep_shard, []

    def dying(*args):
        ran.append(args[-1])
        if len(ran) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(sharding, "sweep_shard", dying)
    with pytest.raises(KeyboardInterrupt):
        Runner(tiny_vlm, data, cache, batch_size=2, workers=Local()).run_many(todo)
    assert len(list((cache / "shards").glob("*.npz"))) == 3
    found = Runner(tiny_vlm, data, cache, batch_size=2, workers=Local()).run_many(todo)
    assert len(ran) == 4 + 10 - 3, "two groups of five runs"
    for one, same in zip(found, plain, strict=True):
        pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert not list((cache / "shards").glob("*.npz"))


def test_values_of_each_conversation_follow_it(tiny_vlm, data, small, monkeypatch):
    monkeypatch.setattr(sharding, "WINDOW", 8)
    values = torch.randn(8, *tiny_vlm.heads.dims("L"), generator=torch.Generator().manual_seed(2))
    edits = [[patch(HeadSet([Head(0, 1)]), values)]]
    wanted = sweep(tiny_vlm, [conversation(question) for question in data], edits, "all", 2)
    ((_, (table,)),) = answer_on_workers(Shuffled(), tiny_vlm, data, [Group("k", "c", edits, "all")], 2)
    np.testing.assert_array_equal(table["logprob"], wanted.logprob[0])
    assert table["text"].tolist() == wanted.text[0]


def test_a_sweep_is_the_same_on_workers(tiny_vlm, data):
    chats = [conversation(question) for question in data]
    edits = [[zero([Head(0, 1)])], [], [zero([Head(1, 2)])]]
    valid = [frozenset({5 + i % 7, 9}) for i in range(sum(len(chat.turns) for chat in chats))]
    wanted = sweep(tiny_vlm, chats, edits, "answer", 3, valid=valid)
    workers, told = Shuffled(), []
    found = sweep_on_workers(workers, tiny_vlm, chats, edits, "answer", 3, lambda *args: told.append(args), valid)
    assert workers.ran == 3
    assert told[-1] == ("sweep", 8 * 3, 8 * 3)
    np.testing.assert_array_equal(found.logprob, wanted.logprob)
    np.testing.assert_array_equal(found.valid, wanted.valid)
    np.testing.assert_array_equal(found.bare[0], wanted.bare[0])
    assert (found.text, found.turns, found.how) == (wanted.text, wanted.turns, wanted.how)


def test_a_shard_that_does_not_say_which_answers_ended_is_not_read(tiny_vlm, data, monkeypatch):
    found = sweep(tiny_vlm, [conversation(question) for question in data[:1]], [[]], "all")
    write = np.savez_compressed
    monkeypatch.setattr(
        np, "savez_compressed", lambda out, **arrays: write(out, **{k: v for k, v in arrays.items() if k != "ended"})
    )
    with pytest.raises(ValueError, match="which answers ended"):
        unpacked(packed(found))


def test_a_sweep_is_packed_without_loss(tiny_vlm, data):
    found = sweep(tiny_vlm, [conversation(question) for question in data[:3]], [[zero(["L0.H0"])], []], "answer")
    found.text[0][0] = "größer – 大"
    same = unpacked(packed(found))
    np.testing.assert_array_equal(same.logprob, found.logprob)
    np.testing.assert_array_equal(same.exact, found.exact)
    assert (same.text, same.turns, same.how, same.reason) == (found.text, found.turns, found.how, found.reason)
    assert same.bare[2] == found.bare[2]


def test_a_rerun_of_any_shard_is_named(tiny_vlm, data):
    one = sweep(tiny_vlm, [conversation(question) for question in data[:1]], [[]], "all")
    other = unpacked(packed(one))
    rerun = type(one)(other.logprob, other.exact, other.text, other.bare, other.turns, "rerun", "its blocks are odd")
    turns = [len(data[0].steps)] * 2
    whole = joined([([1], rerun), ([0], one)], turns)
    assert (whole.how, whole.reason, whole.turns) == ("rerun", "its blocks are odd", tuple(turns))


def test_the_mass_on_valid_answers_is_packed_and_joined(tiny_vlm, data):
    chats = [conversation(question) for question in data[:2]]
    turns = [len(question.steps) for question in data[:2]]
    valid = [frozenset({5 + i, 9}) for i in range(sum(turns))]
    edits = [[zero(["L0.H0"])]]
    whole = sweep(tiny_vlm, chats, edits, "all", valid=valid)
    first = sweep(tiny_vlm, chats[:1], edits, "all", valid=valid[: turns[0]])
    second = sweep(tiny_vlm, chats[1:], edits, "all", valid=valid[turns[0] :])
    both = joined([([1], unpacked(packed(second))), ([0], unpacked(packed(first)))], turns)
    assert both.valid.shape == (2, sum(turns))
    np.testing.assert_allclose(both.valid, whole.valid, atol=1e-5)
    assert joined([([0], first), ([1], sweep(tiny_vlm, chats[1:], edits, "all"))], turns).valid is None


@pytest.mark.parametrize(("mode", "context"), [("forced", "gold"), ("generate", "own")])
def test_evaluation_is_the_plain_one(tiny_vlm, data, mode, context):
    def blind(question):
        return (question.images[0].transpose(0),), "Look."

    short = [question.model_copy(update={"steps": question.steps[:2]}) for question in data[:6]] * 3
    plain = evaluate(tiny_vlm, short, mode, context, 1, blind)
    found = evaluate_on_workers(Shuffled(), tiny_vlm, Data(short), mode, context, 1, blind)
    pd.testing.assert_frame_equal(found, plain, check_exact=True)


def test_mistakes_are_named(tiny_vlm, data, tmp_path):
    with pytest.raises(HeadAtlasError, match="own context"):
        evaluate_on_workers(Shuffled(), tiny_vlm, data, "forced", "own")
    with pytest.raises(HeadAtlasError, match="empty dataset"):
        evaluate_on_workers(Shuffled(), tiny_vlm, Data())

    class Elsewhere(Local):
        """Workers that do not share the folder."""

        def run(self, vlm, task, shards):
            return ((shard.number, None) for shard in shards)

    groups = [Group("k", "c", [[]], "all", store=Folder.of(tmp_path))]
    with pytest.raises(HeadAtlasError, match="all machines share"):
        list(answer_on_workers(Elsewhere(), tiny_vlm, data, groups, 2))
