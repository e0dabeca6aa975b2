"""`headatlas grade`, `calibrate` and `reference plant` from end to end, as small as possible."""

import json

import pandas as pd
import pytest
from command_line import headatlas

from headatlas.errors import HeadAtlasError
from headatlas.truth import load_world


def test_calibrate_writes_verdicts_rates_and_a_page(tmp_path):
    headatlas("calibrate", "--out", tmp_path, "--seeds", "1", "--questions", "80")
    assert set(pd.read_csv(tmp_path / "rates.csv")["claim"]) == {"C1", "C2", "C3", "C4", "C5a", "C5b"}
    assert len(pd.read_csv(tmp_path / "verdicts.csv")) == 8 * 4 + 7
    assert "| claim | it is |" in (tmp_path / "calibration.md").read_text()


def test_mistakes_are_found_before_anything_runs(tmp_path):
    with pytest.raises(HeadAtlasError, match="linear"):
        headatlas("grade", "--out", tmp_path, "--scorers", "lineer")
    with pytest.raises(HeadAtlasError, match="must each name at least one"):
        headatlas("grade", "--out", tmp_path, "--selectors", " ,")
    with pytest.raises(HeadAtlasError, match=r"a folder with truth\.json, got 'ref-llava'"):
        headatlas("grade", "--out", tmp_path, "--world", "ref-llava", "--scorers", "random", "--n", "40")
    with pytest.raises(HeadAtlasError, match="must be MODEL:LAYOUT:FACTOR"):
        headatlas("grade", "--out", tmp_path, "--latent", "ref-gemma")
    (tmp_path / "layout.json").write_text("{}")
    with pytest.raises(HeadAtlasError, match="JSON"):
        headatlas("reference", "plant", "ref-llava", "--out", tmp_path / "w", "--layout", tmp_path / "layout.json")


def test_a_world_is_planted_verified_and_graded(tiny_vlm_dir, tmp_path):
    layout, world, graded = tmp_path / "layout.json", tmp_path / "world", tmp_path / "graded"
    plants = [{"function": "spatial_perception", "role": "single", "heads": ["L1.H2"]}]
    layout.write_text(json.dumps({"first_layer": 1, "seed": 1, "plants": plants}))
    options = ("--layout", layout, "--out", world, "--steps", "2", "--questions", "40")
    headatlas("reference", "plant", tiny_vlm_dir, *options)
    assert load_world(world).verified[0].role == "failed"  # two steps plant nothing, and the card says so
    with pytest.raises(HeadAtlasError, match="must not exist yet"):
        headatlas("reference", "plant", tiny_vlm_dir, *options)
    with pytest.raises(HeadAtlasError, match="leave out --layout, --work and --steps"):
        headatlas("reference", "plant", world, "--copies", "1", "--steps", "2", "--out", tmp_path / "copied")
    with pytest.raises(HeadAtlasError, match="--role is of copies"):
        headatlas("reference", "plant", world, "--role", "distributed", "--out", tmp_path / "copied")
    with pytest.raises(HeadAtlasError, match="no function of world is carried by one head"):
        headatlas("reference", "plant", world, "--copies", "1", "--out", tmp_path / "copied")
    cheap = ("--scorers", "linear,random", "--n", "40")
    headatlas("grade", "--out", graded, "--world", world, "--null", f"{tiny_vlm_dir}:twin", *cheap)
    assert "Linear probe (A2)" in (graded / "grading.md").read_text()
    assert "<svg" in (graded / "grading_null.svg").read_text()
