import json
import shutil

import numpy as np
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.reference.families.llava import Llava
from headatlas.reference.pool import to_float
from headatlas.reference.recipe import Recipe
from headatlas.reference.train import Trainer, train


def test_a_killed_run_ends_the_same(trained, tiny_recipe, tmp_path):
    for folder in ("pool", "held_out"):
        shutil.copytree(trained.work / folder, tmp_path / folder)
    for steps in (2, 3, 3):
        # Stops wherever it is, as if killed: what was done since the last checkpoint is done again.
        Trainer(tiny_recipe, tmp_path).run(until=steps)
    last = Trainer(tiny_recipe, tmp_path)
    assert (last.stage, last.step) != (0, 0)
    assert not last.finished
    last.run()
    assert last.finished
    whole, pieces = trained.model.state_dict(), last.model.state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(pieces[name], value, rtol=0, atol=0)


def test_training_moves_what_each_stage_trains_and_logs_it(trained, tiny_recipe):
    lines = [json.loads(line) for line in (trained.work / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if "loss" in line] == ["vision", "lookup", "whole", "finish"]
    held_out = [line["held_out"] for line in lines if "held_out" in line]
    assert set(held_out[0]) >= {"thing", "row", "facing"}
    assert {"final", "direct", "spatial_perception"} <= set(held_out[-1])
    assert all(0 <= value <= 1 for found in held_out for value in found.values())


def test_patches_leave_stage_1_at_the_length_that_stage_2_wants(tiny_recipe, tmp_path, trained):
    for folder in ("pool", "held_out"):
        shutil.copytree(trained.work / folder, tmp_path / folder)
    trainer = Trainer(tiny_recipe, tmp_path)
    trainer.run(until=tiny_recipe.steps[0])
    pixels = to_float(trainer.processor, np.array(trainer.held_out.pixels))
    with torch.no_grad():
        features = trainer.features(pixels)
    assert features.norm(dim=-1).mean() == pytest.approx(tiny_recipe.feature_norm, rel=1e-4)


def test_a_finished_run_stays_as_it_is(trained, tiny_recipe):
    again = Trainer(tiny_recipe, trained.work)
    assert again.finished
    again.run()
    for name, value in trained.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=0)


def test_two_processes_train_what_one_does(tiny_recipe, trained, exported, tmp_path):
    """Their halves of each batch add up: only rounding differs."""
    for folder in ("pool", "held_out"):
        shutil.copytree(trained.work / folder, tmp_path / folder)
    train(tiny_recipe, tmp_path, tmp_path / "out", processes=2)
    two = Trainer(tiny_recipe, tmp_path).model.state_dict()
    for name, value in trained.model.state_dict().items():
        # AdamW turns the rounding of a gradient near zero into a step of full size: single weights may part, not many.
        # What stage 1 leaves is scaled up, its rounding with it.
        assert (two[name] - value).square().mean().sqrt() <= 0.1 * value.square().mean().sqrt() + 1e-3, name
    assert (tmp_path / "out" / "config.json").exists()
    with pytest.raises(HeadAtlasError, match="another recipe"):
        train(tiny_recipe, tmp_path, tmp_path / "out", processes=1)


def test_minutes_scale_the_steps():
    full = Recipe()
    half = full.scaled(Llava.minutes / 2)
    assert half.steps == tuple(round(steps / 2) for steps in full.steps)
    assert half.n_scenes == full.n_scenes // 2
    assert full.scaled(1000.0).n_scenes == full.n_scenes
    with pytest.raises(HeadAtlasError, match="minutes must be > 0"):
        full.scaled(0.0)


@pytest.mark.parametrize(
    ("device", "processes", "message"),
    [
        ("tpu", 1, "device must be 'cpu' or 'cuda', got 'tpu'"),
        pytest.param(
            "cuda", 1, "device 'cuda' is not there: PyTorch finds no CUDA device; train with device 'cpu'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there_is_refused_before_rendering(tiny_recipe, tmp_path, device, processes, message):
    from dataclasses import replace

    with pytest.raises(HeadAtlasError) as caught:
        train(replace(tiny_recipe, device=device), tmp_path / "work", tmp_path / "out", processes)
    assert str(caught.value) == message
    assert not (tmp_path / "work").exists()
