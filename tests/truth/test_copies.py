"""Worlds with redundant heads, made by copying the heads of a planted world."""

import shutil

import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scenes.build import symbolic
from headatlas.truth import copies as copies_of
from headatlas.truth import copy_heads, interlock, load_world
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


def test_distributed_copies_write_together_what_the_original_wrote_and_none_can_be_spared(world, tmp_path, monkeypatch):
    monkeypatch.setattr(copies_of, "TRIED", 16)
    monkeypatch.setattr(interlock, "STRENGTHS", (2.0,))
    monkeypatch.setattr(interlock, "DRAWS", 1)
    made = copy_heads(world.folder, tmp_path / "copied", 1, n_verify=40, role="distributed")
    copies = plan(world, ha.load_vlm(world.path, device="cpu"), 1)
    verified = {
        one.function: one for one in made.verified
    }  # of the planted world, one more function was to be distributed
    for one in copies:
        assert verified[one.function].heads == tuple(map(str, one.heads))
        assert verified[one.function].wished == "distributed"
    card = (made.path / "README.md").read_text()
    assert "none of them should be spared; the table says" in card
    assert "--copies SEED --role distributed" in card
    vlm, copied = ha.load_vlm(world.path, device="cpu"), ha.load_vlm(made.path, device="cpu")
    questions = [one.rendered() for one in symbolic(4, "E", 9)]
    with vlm.edit(ha.zero([head for one in copies for head in one.into])):
        wanted = torch.tensor(evaluate(vlm, questions)["logprob"].to_numpy())
    got = torch.tensor(evaluate(copied, questions)["logprob"].to_numpy())
    torch.testing.assert_close(got, wanted, atol=2e-3, rtol=2e-3)
    for one in copies:
        for head in one.heads:
            with copied.edit(ha.zero([head])):
                without = torch.tensor(evaluate(copied, questions)["logprob"].to_numpy())
            assert (without - wanted).abs().max() > 0.1
    with pytest.raises(HeadAtlasError, match=r"role must be redundant or distributed, got 'single'"):
        copy_heads(world.folder, tmp_path / "other", role="single")


def test_parts_add_up_to_the_identity():
    parts = interlock.parts_of(3, 16, 1.5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(parts.sum(0), torch.eye(16, dtype=torch.float64))
    assert all((part - torch.eye(16) / 3).norm() > 1 for part in parts)
    torch.testing.assert_close(
        interlock.parts_of(2, 4, 0.0, torch.Generator())[0], torch.eye(4, dtype=torch.float64) / 2
    )


def test_heads_are_sorted():
    assert Copies("knowledge_recall", Head(2, 5), (Head(2, 7), Head(2, 1))).heads == (
        Head(2, 1),
        Head(2, 5),
        Head(2, 7),
    )
