"""Options of commands that load a model."""

import pytest
from command_line import headatlas

from headatlas.errors import HeadAtlasError
from headatlas.study import kept_settings
from headatlas.study.rundir import RunDir

LOADING = (
    *("study", "evaluate", "capture", "score", "steer", "ablate", "activate", "report", "sweep"),
    *("explain", "explore", "answer"),
)


@pytest.mark.parametrize("command", LOADING)
def test_every_command_that_loads_a_model_says_how(command):
    told = headatlas(command, "--help").output
    for option in ("--dtype", "--quantization", "--revision", "--device", "--device-map", "--trust-remote-"):
        assert option in told


def test_a_run_keeps_the_dtype_and_is_resumed_with_it(tiny_vlm_dir, tmp_path, monkeypatch):
    run = tmp_path / "a run"
    new = (
        "--model",
        tiny_vlm_dir,
        "--data",
        "cogvsr-mini",
        "--quick",
        "--dtype",
        "bfloat16",
        "--set",
        "scorers=variance",
    )
    headatlas("capture", "--out", run, *new)
    kept = kept_settings(run)
    assert kept is not None
    assert kept.dtype == "bfloat16"
    record = RunDir(run).record()
    assert record is not None
    assert "bfloat16" in str(record["model"])
    assert "ran capture" in headatlas("capture", "--out", run, "--again").output
    with pytest.raises(HeadAtlasError, match="dtype='bfloat16', got 'float32'"):
        headatlas("capture", "--out", run, "--dtype", "float32")
    with pytest.raises(HeadAtlasError, match="dtype='bfloat16', got 'float32'"):
        headatlas("report", "--out", run, "--dtype", "float32")
    with pytest.raises(HeadAtlasError, match="dtype='bfloat16', got 'float32'"):
        headatlas("explore", tiny_vlm_dir, "--run", run, "--dtype", "float32")
    page = tmp_path / "site"
    monkeypatch.setattr("headatlas.vlm.loading.load_vlm", None)
    with pytest.raises(HeadAtlasError, match=r"no scores yet: run `headatlas score --out '.*a run'` first"):
        headatlas("explore", tiny_vlm_dir, "--run", run, "--export", page)  # said before the model is loaded
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr("headatlas.study.kept_settings", lambda out: kept.model_copy(update={"model": "ref-demo"}))
        with pytest.raises(HeadAtlasError, match="holds a run of 'ref-demo', got 'ref-llava'"):
            headatlas("explore", "ref-llava", "--run", run)
    headatlas("score", "--out", run)
    headatlas("explore", tiny_vlm_dir, "--run", run, "--export", page, "--examples", 1)  # loaded as the study was
    assert (page / "index.html").is_file()


def test_the_code_of_a_checkpoint_runs_only_where_the_call_allows_it(tiny_vlm_dir, tmp_path):
    run = tmp_path / "run"
    headatlas(
        *("capture", "--out", run, "--model", tiny_vlm_dir, "--data", "cogvsr-mini", "--quick"), "--trust-remote-code"
    )
    assert "trust" not in (run / "settings.json").read_text() + (run / "run.json").read_text()


def test_a_quantization_without_its_device_is_one_line(tiny_vlm_dir, tmp_path):
    with pytest.raises(HeadAtlasError, match="CUDA devices only"):
        headatlas("answer", tiny_vlm_dir, picture(tmp_path), "what is it?", "--quantization", "4bit", "--device", "cpu")


def picture(folder):
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    return folder / "red.png"
