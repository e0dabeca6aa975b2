"""Worlds with redundant heads, made by copying the heads of a planted world."""

import shutil

import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scenes.build import symbolic
from headatlas.truth import copy_heads, load_world
from headatlas.truth.copies import Copies, plan
from headatlas.vlm import evaluate


@pytest.fixture(scope="module")
def world():
    return load_world("planted-llava-1")


def test_copies_go_into_heads_that_no_usable_function_needs(world):
    vlm = ha.load_vlm(world.path, device="cpu")
    found = plan(world, vlm, 1)
    assert found == plan(world, vlm, 1)
    assert {one.function for one in found} == {one.function for one in world.usable if one.role == "single"}
    needed = {Head.parse(name) for one in world.usable for name in (*one.heads, *one.also)}
    into = [head for one in found for head in one.into]
    assert len(set(into)) == len(into)
    assert not needed & set(into)
    for one in found:
        assert one.heads == tuple(sorted((one.source, *one.into)))
        assert {head.layer for head in one.heads} == {one.source.layer}
        assert one.strength == (1.0 if len(one.heads) == 2 else pytest.approx(1 / 3))


def test_with_grouped_queries_copies_share_the_key_value_head():
    world = load_world("planted-gemma-1")
    vlm = ha.load_vlm(world.path, device="cpu")
    found = plan(world, vlm, 0)
    assert found
    assert all(one.source.head // 2 == head.head // 2 for one in found for head in one.into)


def test_a_damaged_world_is_refused(world, tmp_path):
    vlm = ha.load_vlm(world.path, device="cpu")
    folder = tmp_path / "world"
    shutil.copytree(world.folder, folder)
    (folder / "ablations.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HeadAtlasError, match=r"ablations\.csv cannot be read .* plant the world again"):
        plan(load_world(folder), vlm)
    with pytest.raises(HeadAtlasError, match="must not exist yet"):
        copy_heads("planted-llava-1", tmp_path)


def test_the_world_is_the_planted_one_with_copies_and_its_truth_is_verified(world, tmp_path):
    """Three heads write a third each: no answer changes but by what the replaced heads did."""
    said = []
    made = copy_heads(world.folder, tmp_path / "copied", 1, n_verify=40, say=said.append)
    vlm = ha.load_vlm(world.path, device="cpu")
    copies = plan(world, vlm, 1)
    thirds = [one for one in copies if len(one.heads) == 3]
    assert thirds
    assert [line.partition(":")[0] for line in said[: len(copies)]] == [one.function for one in copies]
    assert {one.function: one.heads for one in made.verified if one.wished == "redundant"} == {
        one.function: tuple(map(str, one.heads)) for one in copies
    }
    assert "without training. Two copies" in (made.path / "README.md").read_text()
    copied, questions = ha.load_vlm(made.path, device="cpu"), [one.rendered() for one in symbolic(4, "E", 9)]
    whole = [head for one in copies if len(one.heads) == 2 for head in one.heads]
    with vlm.edit(ha.zero([head for one in copies for head in one.into] + whole)):
        wanted = torch.tensor(evaluate(vlm, questions)["logprob"].to_numpy())
    with copied.edit(*([ha.zero(whole)] if whole else [])):
        torch.testing.assert_close(
            torch.tensor(evaluate(copied, questions)["logprob"].to_numpy()), wanted, atol=1e-3, rtol=1e-3
        )


def test_heads_are_sorted():
    assert Copies("knowledge_recall", Head(2, 5), (Head(2, 7), Head(2, 1))).heads == (
        Head(2, 1),
        Head(2, 5),
        Head(2, 7),
    )
