"""Where a model comes from and how it is loaded."""

import json
import shutil

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.vlm.load import check_vlm, load_vlm
from headatlas.vlm.loading import Loading


@pytest.fixture
def hub(tiny_vlm_dir, tmp_path):
    """A cache of Hugging Face's with two revisions of one model: another template, another size of pictures."""
    model = tmp_path / "models--lab--tiny"
    (model / "refs").mkdir(parents=True)
    for number, name in enumerate(("main", "v2")):
        commit = f"{number + 1}" * 40
        (model / "refs" / name).write_text(commit)
        shutil.copytree(tiny_vlm_dir, model / "snapshots" / commit)
    template = model / "snapshots" / ("2" * 40) / "chat_template.jinja"
    template.write_text(template.read_text().replace("{% for", "{# v2 #}{% for", 1))
    config = model / "snapshots" / ("2" * 40) / "config.json"
    told = json.loads(config.read_text())
    told["text_config"]["rms_norm_eps"] = 0.125
    config.write_text(json.dumps(told))
    return tmp_path


def test_a_revision_is_that_of_configuration_processor_and_weights(hub):
    main = load_vlm("lab/tiny", options={"cache_dir": str(hub)})
    other = load_vlm("lab/tiny", revision="v2", options={"cache_dir": str(hub)})
    in_options = load_vlm("lab/tiny", options={"cache_dir": str(hub), "revision": "v2"})
    for vlm in (other, in_options):
        assert vlm.processor.chat_template.startswith("{# v2 #}")
        assert vlm.model.config.text_config.rms_norm_eps == 0.125
        assert vlm.fingerprint == other.fingerprint != main.fingerprint
    assert "v2" not in main.processor.chat_template
    assert other.loaded_with["revision"] == "v2"


def test_a_revision_is_refused_where_it_says_nothing(tiny_vlm_dir, hub):
    with pytest.raises(HeadAtlasError, match="a revision applies to a Hugging Face id, got 'v2' for the folder"):
        load_vlm(tiny_vlm_dir, revision="v2")
    with pytest.raises(HeadAtlasError, match="a revision applies to a Hugging Face id"):
        check_vlm("ref-llava", revision="v2")
    with pytest.raises(HeadAtlasError, match="revision must be given once"):
        load_vlm("lab/tiny", revision="v2", options={"cache_dir": str(hub), "revision": "main"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_noticed_before_the_weights_are_read(tiny_vlm_dir, tmp_path):
    copy = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    (copy / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(HeadAtlasError, match="device 'cuda:1' is not there: PyTorch finds no CUDA devices"):
        load_vlm(copy, device="cuda:1")


def test_loading_is_load_vlm_with_its_arguments(tiny_vlm_dir):
    vlm = Loading(dtype="bfloat16", device="cpu").load(str(tiny_vlm_dir))
    assert vlm.dtype == torch.bfloat16
    assert vlm.loaded_with == {"dtype": "bfloat16"}
    with pytest.raises(HeadAtlasError, match="CUDA devices only"):
        Loading(quantization="4bit", device="cpu").load(str(tiny_vlm_dir))
